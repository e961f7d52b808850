// The settings' page once it is there: a file of its own, with its style, for those who open it.
import { signal } from "@preact/signals";

export type SettingsModule = typeof import("./settings/page");

export const settingsModule = signal<SettingsModule | null>(null);
/** The last attempt failed: the next one comes by itself. */
export const settingsLate = signal(false);

const AGAIN_MS = 2000;
let asked = false;

export function loadSettings(): void {
  if (asked) return;
  asked = true;
  void attempt(0);
}

/** By another address than one that failed, since browsers remember that. */
async function attempt(number: number): Promise<void> {
  const address = (file: string): string => new URL(number === 0 ? file : `${file}?again=${number}`, import.meta.url).href;
  const again = (): Promise<SettingsModule> => import(address("./settings.js")) as Promise<SettingsModule>;
  try {
    const [loaded] = await Promise.all([number === 0 ? import("./settings/page") : again(), styled(address("./settings.css"))]);
    settingsModule.value = loaded;
    settingsLate.value = false;
  } catch {
    settingsLate.value = true;
    setTimeout(() => void attempt(number + 1), AGAIN_MS);
  }
}

function styled(address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = address;
    link.onload = () => resolve();
    link.onerror = () => {
      link.remove();
      reject(new Error(address));
    };
    document.head.append(link);
  });
}
