import type { VNode } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { allowSingleKeys, offered, SHORTCUTS, type ShortcutName, singleKeys } from "../keys/shortcuts";
import { words } from "../words/words";
import { Icon } from "./icons";
import { Keys } from "./key_caps";

export function Sheet({ close }: { readonly close: () => void }): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  // A dialog gives the focus back to where it was.
  useLayoutEffect(() => dialog.current?.showModal(), []);
  const names = offered();
  return (
    <dialog
      class="sheet"
      ref={dialog}
      data-testid="shortcuts"
      aria-labelledby={title}
      onClose={close}
      onClick={(event) => {
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <div class="sheet-body">
        <header class="sheet-head">
          <h2 id={title}>{words.shortcuts.title}</h2>
          <button type="button" class="round" aria-label={words.shortcuts.close} onClick={() => dialog.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        <Part title={words.shortcuts.everywhere} names={names.filter((name) => SHORTCUTS[name].place === "everywhere")} />
        <Part title={words.shortcuts.inComposer} names={names.filter((name) => SHORTCUTS[name].place === "composer")} />
        <Part title={words.shortcuts.inList} names={names.filter((name) => SHORTCUTS[name].place === "list")} />
        <Part title={words.shortcuts.inSettings} names={names.filter((name) => SHORTCUTS[name].place === "settings")} />
        <label class="sheet-choice">
          <input type="checkbox" checked={singleKeys.value} onChange={(event) => allowSingleKeys(event.currentTarget.checked)} />
          {words.shortcuts.singleKeys}
        </label>
      </div>
    </dialog>
  );
}

function Part({ title, names }: { readonly title: string; readonly names: readonly ShortcutName[] }): VNode | null {
  if (names.length === 0) return null;
  return (
    <section>
      <h3>{title}</h3>
      <dl class="sheet-list">
        {names.map((name) => (
          <div key={name} data-shortcut={name}>
            <dt>{SHORTCUTS[name].words}</dt>
            <dd>
              {SHORTCUTS[name].keys.map((keys) => (
                <Keys key={keys} keys={keys} />
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
