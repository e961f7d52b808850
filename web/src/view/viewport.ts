// A phone's keyboard: where the browser does not make the page smaller for it, the frame is made as high as what is seen.

export function followViewport(): void {
  const view = visualViewport;
  if (!view) return;
  const fit = (): void => {
    const root = document.documentElement;
    // Who has zoomed in sees a part of the page; that is no keyboard.
    if (view.scale > 1 || view.height >= innerHeight - 1) {
      root.style.removeProperty("--visible");
      return;
    }
    root.style.setProperty("--visible", `${view.height}px`);
    scrollTo(0, 0);
  };
  view.addEventListener("resize", fit);
  view.addEventListener("scroll", fit);
}
