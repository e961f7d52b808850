// Starts Alpine in the build that reads expressions by itself: the administration's policy lets no text become code.
// unfold's pages are written for the other build, in which an expression reaches everything that the window has.
import Alpine from "@alpinejs/csp";

interface Unfold {
  theme(chosen?: string): object;
  searchForm(): object;
  sortRecords(event: Event): void;
  getCurrentTab(): string | null;
}

const SIDEBAR = "sidebarDesktopOpen";

// unfold's scripts, which come before this one, and its plugins for Alpine ask for it here.
Object.assign(window, { Alpine });

document.addEventListener("alpine:init", () => {
  const { theme, searchForm, sortRecords, getCurrentTab } = window as unknown as Unfold;
  Alpine.data("theme", theme);
  Alpine.data("searchForm", searchForm);
  Alpine.data("shell", (firstTab?: string) => ({
    activeTab: getCurrentTab() ?? firstTab ?? "",
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(SIDEBAR) !== "0",
    keepSidebar: (open: boolean) => localStorage.setItem(SIDEBAR, open ? "1" : "0"),
    sortRecords,
    // What expressions take from the window, and no more of it.
    window: { location: { pathname: location.pathname, search: location.search } },
    localStorage: { setItem: (key: string, value: string) => localStorage.setItem(key, value) },
  }));
});

// Two regions that scroll are two things to whom they are read aloud.
addEventListener("load", () => {
  document.querySelector("#content .simplebar-content-wrapper")?.setAttribute("aria-label", "Rows");
  document.querySelector("#nav-sidebar .simplebar-content-wrapper")?.setAttribute("aria-label", "Places");
});

Alpine.start();
