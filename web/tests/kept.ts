// What the browser keeps, as far as the page uses it.

export class Kept {
  [key: string]: unknown;

  getItem(key: string): string | null {
    return (this[key] as string | undefined) ?? null;
  }

  setItem(key: string, text: string): void {
    this[key] = text;
  }

  removeItem(key: string): void {
    delete this[key];
  }
}

/** Both of the browser's notes, empty; `restore` takes them away. */
export function emptyNotes(): { readonly local: Kept; readonly session: Kept; readonly restore: () => void } {
  const names = ["localStorage", "sessionStorage"] as const;
  const before = names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
  const [local, session] = [new Kept(), new Kept()];
  Object.defineProperty(globalThis, "localStorage", { value: local, configurable: true });
  Object.defineProperty(globalThis, "sessionStorage", { value: session, configurable: true });
  const restore = (): void => {
    names.forEach((name, place) => {
      const descriptor = before[place];
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else Reflect.deleteProperty(globalThis, name);
    });
  };
  return { local, session, restore };
}
