// What the browser keeps for a page. It may refuse: then nothing is kept, and nothing fails.
export const PREFIX = "netra";

export function quietly<Result>(act: () => Result): Result | null {
  try {
    return act();
  } catch {
    return null;
  }
}

/** Keep the text under a name; an empty one is not kept. */
export function keep(key: string, text: string): void {
  quietly(() => (text === "" ? localStorage.removeItem(key) : localStorage.setItem(key, text)));
}

/** False where the browser's room is used up, or it keeps nothing. */
export function tryToKeep(key: string, text: string): boolean {
  return quietly(() => (localStorage.setItem(key, text), true)) ?? false;
}

export function kept(key: string): string {
  return quietly(() => localStorage.getItem(key)) ?? "";
}

/** Whose a note is: `netra.draft.7.…` is the person's with the id 7, and `netra.theme` whoever's uses the browser. */
const PERSON = new RegExp(`^${PREFIX}\\.[\\w-]+\\.(\\d+)(?:\\.|$)`);

/** Nothing is left of a person, and nothing goes of others who use this browser. */
export function forgetPerson(id: string): void {
  for (const storage of [localStorage, sessionStorage]) {
    quietly(() => {
      for (const key of Object.keys(storage)) {
        if (key.startsWith(`${PREFIX}.`) && (PERSON.exec(key)?.[1] ?? id) === id) storage.removeItem(key);
      }
    });
  }
}

export function forgetAll(prefix: string): void {
  quietly(() => {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith(prefix)) localStorage.removeItem(key);
    }
  });
}
