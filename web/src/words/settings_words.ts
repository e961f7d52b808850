// What only the settings say, in the page's language.
import { enSettings } from "./en_settings";
import type { Formats } from "./formats";
import { format, type Language, language } from "./words";

const CATALOGUES = { en: enSettings } satisfies Record<Language, (format: Formats) => object>;

export const settingsWords = CATALOGUES[language](format);
