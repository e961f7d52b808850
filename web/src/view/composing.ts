// While an input method composes, its keys are its own; some browsers tell that by the code alone.
const IME_KEY = 229;

export function isComposing({ isComposing, keyCode }: KeyboardEvent): boolean {
  return isComposing || keyCode === IME_KEY;
}
