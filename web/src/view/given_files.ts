// What a drop or a paste brings beside text.

export interface Given {
  readonly files: readonly File[];
  /** Their names: a page cannot take what is in them. */
  readonly folders: readonly string[];
}

export function given({ items }: DataTransfer): Given {
  const files: File[] = [];
  const folders: string[] = [];
  for (const item of items) {
    if (item.kind !== "file") continue;
    const entry = "webkitGetAsEntry" in item ? item.webkitGetAsEntry() : null;
    const file = item.getAsFile();
    if (entry?.isDirectory) folders.push(entry.name);
    else if (file) files.push(file);
  }
  return { files, folders };
}
