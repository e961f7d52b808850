// Keeps the end of a growing conversation in view, unless the person has scrolled away from it.
const NEAR_PX = 40;

export class Follow {
  #scroller: HTMLElement;
  #pinned = true;
  #changed: (pinned: boolean) => void;
  #lastTop = 0;
  #touchY = 0;
  #sizes: ResizeObserver;
  #listeners = new AbortController();

  constructor(scroller: HTMLElement, content: HTMLElement, changed: (pinned: boolean) => void) {
    this.#scroller = scroller;
    this.#changed = changed;
    const { signal } = this.#listeners;
    const quiet = { passive: true, signal };
    scroller.addEventListener("wheel", (event) => this.#moved(event.deltaY), quiet);
    scroller.addEventListener("touchstart", (event) => this.#touched(event, false), quiet);
    scroller.addEventListener("touchmove", (event) => this.#touched(event, true), quiet);
    scroller.addEventListener("scroll", () => this.#scrolled(), quiet);
    this.#sizes = new ResizeObserver(() => this.#keep());
    this.#sizes.observe(content);
    this.#sizes.observe(scroller);
    this.#keep();
  }

  close(): void {
    this.#sizes.disconnect();
    this.#listeners.abort();
  }

  /** Go to the end and stay there. */
  pin(): void {
    this.#set(true);
    this.#keep();
  }

  /** Leave what is in view where it is, while other content comes; what ends up at the end stays there. */
  release(): void {
    this.#set(false);
    requestAnimationFrame(() => this.#set(this.#distance() <= 1));
  }

  get pinned(): boolean {
    return this.#pinned;
  }

  #set(pinned: boolean): void {
    if (pinned === this.#pinned) return;
    this.#pinned = pinned;
    this.#changed(pinned);
  }

  #keep(): void {
    if (!this.#pinned) return;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#lastTop = this.#scroller.scrollTop;
  }

  #distance(): number {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #moved(down: number): void {
    if (down < 0 && this.#scroller.scrollTop > 0) this.#set(false);
  }

  #touched(event: TouchEvent, moving: boolean): void {
    const y = event.touches[0]?.clientY ?? this.#touchY;
    if (moving) this.#moved(this.#touchY - y);
    this.#touchY = y;
  }

  /** Only the person scrolls up; the browser does when content shrinks, and then the end is in view. */
  #scrolled(): void {
    const top = this.#scroller.scrollTop;
    const distance = this.#distance();
    if (top < this.#lastTop && distance > 1) this.#set(false);
    else if (top > this.#lastTop && distance <= NEAR_PX) this.#set(true);
    this.#lastTop = top;
  }
}
