declare module "@alpinejs/csp" {
  interface Alpine {
    data(name: string, made: (...given: never[]) => object): void;
    start(): void;
  }
  const alpine: Alpine;
  export default alpine;
}
