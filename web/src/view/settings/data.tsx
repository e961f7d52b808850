import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { downloaded, save } from "../../chat/download";
import { RestError } from "../../session/rest";
import { isWhole } from "../../settings/archive";
import { settingsWords } from "../../words/settings_words";
import { format, words } from "../../words/words";
import { announce } from "../announcer";
import { Icon, Spinner } from "../icons";
import type { SectionProps } from "./page";
import { Failure, Setting, useAttempt } from "./parts";

const EXPORT = "/api/me/export";

/** Everything that the server keeps about the person, to take along. */
export function Data({ chat }: SectionProps): VNode {
  const [came, setCame] = useState(0);
  const [saved, setSaved] = useState<number | null>(null);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const { busy, failure, act } = useAttempt(async () => {
    const ending = new AbortController();
    stop.current = ending;
    setCame(0);
    setSaved(null);
    const file = await downloaded(chat.fetchFile, EXPORT, { signal: ending.signal, came: setCame });
    if (!(await isWhole(file.content))) throw new RestError("BROKEN_OFF", "The archive did not come to its end", 0);
    save(file);
    setSaved(file.content.size);
    announce(settingsWords.exported(format.bytes(file.content.size)));
  });
  return (
    <>
      <Setting title={settingsWords.export} about={settingsWords.exportAbout}>
        <div class="setting-row">
          <button type="button" class="setting-button" data-testid="export" disabled={busy} onClick={() => void act()}>
            <Icon name="save" />
            {settingsWords.exportNow}
          </button>
          {busy ? (
            <>
              <span class="setting-progress" data-testid="export-progress">
                <Spinner />
                {settingsWords.exporting(format.bytes(came))}
              </span>
              <button type="button" class="link" data-testid="stop-export" onClick={() => stop.current?.abort()}>
                {words.app.cancel}
              </button>
            </>
          ) : null}
        </div>
        {saved === null || busy ? null : (
          <p class="setting-note" data-testid="exported">
            {settingsWords.exported(format.bytes(saved))}
          </p>
        )}
        {failure ? <Failure error={failure} /> : null}
      </Setting>
      <Setting title={settingsWords.exportThread} about={settingsWords.exportThreadAbout} />
    </>
  );
}
