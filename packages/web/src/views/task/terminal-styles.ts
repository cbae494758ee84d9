/** A document for xterm.js, and its style sheets. */
export interface StyledDocument {
  readonly document: Document;
  /** Removes the style sheets from the page. */
  readonly remove: () => void;
}

/**
 * Returns a document whose `style` elements work under a content security policy without inline styles.
 *
 * xterm.js writes its colors and sizes into `style` elements, which the policy forbids. The elements of this document
 * have another type, so that the browser ignores them. Their text is copied to style sheets that scripts may create.
 */
export function documentForStyles(): StyledDocument {
  const sheets = new Set<CSSStyleSheet>();
  const createElement = (name: string, options?: ElementCreationOptions): HTMLElement => {
    const element = document.createElement(name, options);
    if (element instanceof HTMLStyleElement) sheets.add(copyStyles(element));
    return element;
  };
  const proxy = new Proxy(document, {
    get(target, key) {
      if (key === "createElement") return createElement;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const remove = (): void => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.has(sheet));
  };
  return { document: proxy, remove };
}

/** Adds a style sheet to the page that follows the text of an element. */
function copyStyles(element: HTMLStyleElement): CSSStyleSheet {
  const sheet = new CSSStyleSheet();
  element.type = "text/plain";
  new MutationObserver(() => sheet.replaceSync(element.textContent)).observe(element, { childList: true });
  document.adoptedStyleSheets.push(sheet);
  return sheet;
}
