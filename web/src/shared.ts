// What app.js gives to the parts of the page that have files of their own (web/parts.mjs): they share its state. The
// build says what is missing here.
export { signal } from "@preact/signals";
export { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { Fragment, jsx, jsxs } from "preact/jsx-runtime";
export { isFor } from "./account/place";
export { askForReset } from "./account/requests";
export { downloaded, save } from "./chat/download";
export { isImage } from "./chat/draft_files";
export { addressOfSettings, SECTIONS } from "./chat/settings_place";
export { allowSingleKeys, offered, SHORTCUTS, singleKeys } from "./keys/shortcuts";
export { RestError } from "./session/rest";
export { THEMES } from "./theme/apply";
export { chooseTheme, theme } from "./theme/theme";
export { useCountdown } from "./view/account/countdown";
export { Card, PlaceLink } from "./view/account/entrance";
export { Field, PasswordField } from "./view/account/fields";
export { AccountForm, useForm } from "./view/account/form";
export { announce } from "./view/announcer";
export { isComposing } from "./view/composing";
export { ErrorCard } from "./view/error_card";
export { FileName } from "./view/file_name";
export { Icon, Mark, Spinner } from "./view/icons";
export { Keys } from "./view/key_caps";
export { useMedia } from "./view/media";
export { dataUrl } from "./view/picture";
export { showShortcuts } from "./view/shortcut_sheet";
export { errorSentence, waitSentence } from "./view/wording";
export { format, language, words } from "./words/words";
