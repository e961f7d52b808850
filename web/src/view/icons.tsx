import type { VNode } from "preact";

const PATHS = {
  plus: "M12 5v14M5 12h14",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  send: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  chevron: "M9 6l6 6-6 6",
  check: "M5 12.5l4.5 4.5L19 7.5",
  alert: "M12 8v5M12 16.5v.01M12 3l9.5 17h-19z",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  tool: "M14.5 6.5a4 4 0 0 0-5.3 5.1L4 16.8 7.2 20l5.2-5.2a4 4 0 0 0 5.1-5.3L14.8 12 12 9.2z",
  thought: "M9 17h6M10 20h4M12 4a6 6 0 0 0-3.5 10.9c.4.3.5.7.5 1.1h6c0-.4.1-.8.5-1.1A6 6 0 0 0 12 4z",
  hand: "M7 12.5V6.8a1.4 1.4 0 0 1 2.8 0V11M9.8 10.5V5.2a1.4 1.4 0 0 1 2.8 0v5.3M12.6 10.5V6.2a1.4 1.4 0 0 1 2.8 0v5.3M15.4 11.5V8.6a1.4 1.4 0 0 1 2.8 0v5.9a6 6 0 0 1-6 6c-2.5 0-3.9-1-5.2-3l-2.7-3.8a1.3 1.3 0 0 1 2.2-1.4L7 13",
  people: "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3.5 19a5.5 5.5 0 0 1 11 0M16 5.3a3 3 0 0 1 0 5.4M17.5 13.8a5.5 5.5 0 0 1 3 5.2",
  meter: "M5 19v-6M12 19V5M19 19v-9",
  search: "M11 17.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM16 16l4 4",
  more: "M6 12v.01M12 12v.01M18 12v.01",
  pencil: "M5 19l1-4L16 5l3 3L9 18zM14 7l3 3",
  archive: "M4 5h16v4H4zM6 9v10h12V9M10 13h4",
  unarchive: "M4 5h16v4H4zM6 9v10h12V9M12 17v-4M10 15l2-2 2 2",
  bin: "M5 7h14M10 4h4M7 7l1 12.5h8L17 7M10.5 11v5M13.5 11v5",
  back: "M19 12H5M11 6l-6 6 6 6",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  screen: "M4 5h16v11H4zM9 20h6M12 16v4",
  clip: "M20 11.5l-8.2 8.2a5 5 0 0 1-7.1-7.1l8.5-8.5a3.4 3.4 0 0 1 4.8 4.8l-8.5 8.5a1.8 1.8 0 0 1-2.5-2.5l7.8-7.8",
  file: "M7 3h7l5 5v13H7zM14 3v5h5M10 13h6M10 17h4",
  image: "M4 5h16v14H4zM8 10.5v.01M4 17l5-4.5 3.5 3L16 12l4 4",
  again: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9M19.5 4v5h-5",
  keys: "M3 6h18v12H3zM7 10v.01M11 10v.01M15 10v.01M18 10v.01M8 14h8",
  eye: "M2.5 12c2.6-4.3 5.8-6.5 9.5-6.5s6.9 2.2 9.5 6.5c-2.6 4.3-5.8 6.5-9.5 6.5S5.1 16.3 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  eyeShut: "M2.5 12c2.6-4.3 5.8-6.5 9.5-6.5s6.9 2.2 9.5 6.5c-2.6 4.3-5.8 6.5-9.5 6.5S5.1 16.3 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4.5 20l15-16",
  gear: "M12 15.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4zM10.3 3.5h3.4l.5 2.4 1.7 1 2.3-.8 1.7 3-1.8 1.6v2.6l1.8 1.6-1.7 3-2.3-.8-1.7 1-.5 2.4h-3.4l-.5-2.4-1.7-1-2.3.8-1.7-3 1.8-1.6v-2.6L4.1 9.1l1.7-3 2.3.8 1.7-1z",
  note: "M5 4h14v11l-5 5H5zM14 20v-5h5M8.5 8.5h7M8.5 12h4",
  chart: "M4 20h16M7 16v-4M12 16V6M17 16V9",
  save: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  person: "M12 11.5a3.75 3.75 0 1 0 0-7.5 3.75 3.75 0 0 0 0 7.5zM4.5 20a7.5 7.5 0 0 1 15 0",
  about: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 11v5.5M12 7.8v.01",
  copy: "M9 8h10v12H9zM15 8V4H5v12h4",
  thumbUp: "M4 11h3v8H4zM7 11l4-7c1.6 0 2.3 1.2 2 2.6L12.4 10h5.4c1.3 0 2.1 1.1 1.8 2.3l-1.3 5.2c-.2.9-1 1.5-1.9 1.5H7",
  thumbDown: "M4 5h3v8H4zM7 13l4 7c1.6 0 2.3-1.2 2-2.6L12.4 14h5.4c1.3 0 2.1-1.1 1.8-2.3l-1.3-5.2c-.2-.9-1-1.5-1.9-1.5H7",
  previous: "M15 6l-6 6 6 6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }): VNode {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function StopIcon(): VNode {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <rect class="filled" x="7" y="7" width="10" height="10" rx="2" />
    </svg>
  );
}

/** The eye of the name. */
export function Mark(): VNode {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M3 16c3.2-5.6 7.7-8.5 13-8.5S25.8 10.4 29 16c-3.2 5.6-7.7 8.5-13 8.5S6.2 21.6 3 16z" />
      <circle class="filled" cx="16" cy="16" r="4.2" />
    </svg>
  );
}

export function Spinner(): VNode {
  return <span class="spinner" aria-hidden="true" />;
}
