import type { VNode } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import { save } from "../chat/download";
import { isImage } from "../chat/draft_files";
import { beginning, type Beginning } from "../chat/text_file";
import type { WireAttachment } from "../protocol/frames";
import { RestError } from "../session/rest";
import { words } from "../words/words";
import { ErrorCard } from "./error_card";
import { FileName } from "./file_name";
import { Icon } from "./icons";
import { dataUrl } from "./picture";

interface Loaded {
  readonly blob: Blob;
  readonly image: string | null;
  readonly text: Beginning | null;
}

interface ViewerProps {
  readonly chat: Chat;
  readonly file: WireAttachment;
  readonly closed: () => void;
}

/** A file in front of the page: a picture as large as there is room, text as text. */
export function Viewer({ chat, file, closed }: ViewerProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const [attempt, setAttempt] = useState(0);
  const { loaded, error } = useFile(chat, file, attempt);
  // A dialog gives the focus back to where it was.
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      class="viewer"
      ref={dialog}
      data-testid="viewer"
      aria-labelledby={title}
      onClose={closed}
      onClick={(event) => {
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <div class="viewer-body">
        <header class="viewer-head">
          <h2 id={title}>
            <FileName name={file.name} />
          </h2>
          <span class="file-size">{words.files.size(file.bytes)}</span>
          <button type="button" class="round" data-testid="download" aria-label={words.files.download} title={words.files.download} disabled={!loaded} onClick={() => loaded && save({ name: file.name, content: loaded.blob })}>
            <Icon name="save" />
          </button>
          <button type="button" class="round" data-testid="close-viewer" aria-label={words.files.close} title={words.files.close} onClick={() => dialog.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {error ? (
          <ErrorCard code={error.code} message={error.message}>
            <button type="button" onClick={() => setAttempt(attempt + 1)}>
              {words.app.tryAgain}
            </button>
          </ErrorCard>
        ) : loaded ? (
          <Content file={file} loaded={loaded} />
        ) : (
          <p class="loading">{words.files.loading}</p>
        )}
      </div>
    </dialog>
  );
}

function Content({ file, loaded: { image, text } }: { readonly file: WireAttachment; readonly loaded: Loaded }): VNode {
  if (image !== null) return <img class="viewer-image" data-testid="viewer-image" src={image} alt={words.files.image(file.name)} />;
  return (
    <>
      <pre class="viewer-text" data-testid="viewer-text" tabIndex={0}>
        {text?.text}
      </pre>
      {text && text.bytes < file.bytes ? <p class="file-size">{words.files.beginning(text.bytes, file.bytes)}</p> : null}
    </>
  );
}

interface Loading {
  readonly loaded: Loaded | null;
  readonly error: RestError | null;
}

function useFile(chat: Chat, file: WireAttachment, attempt: number): Loading {
  const [state, setState] = useState<Loading>({ loaded: null, error: null });
  useEffect(() => {
    let wanted = true;
    const tell = (state: Loading): void => {
      if (wanted) setState(state);
    };
    tell({ loaded: null, error: null });
    load(chat, file).then(
      (loaded) => tell({ loaded, error: null }),
      (error: unknown) => {
        if (!(error instanceof RestError)) throw error;
        tell({ loaded: null, error });
      },
    );
    return () => {
      wanted = false;
    };
  }, [chat, file, attempt]);
  return state;
}

async function load(chat: Chat, file: WireAttachment): Promise<Loaded> {
  const blob = await chat.attachments.blob(file);
  return isImage(file.media_type) ? { blob, image: await dataUrl(blob), text: null } : { blob, image: null, text: await beginning(blob) };
}
