/**
 * Runs a function whose `style` elements would violate a content security policy without inline styles. Returns a
 * function that removes its styles from the document.
 *
 * xterm.js writes its colors and sizes into `style` elements that it creates when it opens. It gets `template` elements
 * instead, which are never shown. Their text is copied to style sheets that scripts may create. An option of xterm.js
 * for another document does not apply to all of these elements.
 */
export function withConstructedStyles(open: () => void): () => void {
  const sheets = new Set<CSSStyleSheet>();
  const createElement = document.createElement.bind(document);
  document.createElement = (name: string, options?: ElementCreationOptions): HTMLElement => {
    if (name !== "style") return createElement(name, options);
    const element = createElement("template");
    sheets.add(copyStyles(element));
    return element;
  };
  try {
    open();
  } finally {
    // The method of the prototype applies again.
    Reflect.deleteProperty(document, "createElement");
  }
  return () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.has(sheet));
  };
}

/** Adds a style sheet to the document that follows the text of an element. */
function copyStyles(element: HTMLTemplateElement): CSSStyleSheet {
  const sheet = new CSSStyleSheet();
  new MutationObserver(() => sheet.replaceSync(element.textContent)).observe(element, { childList: true });
  document.adoptedStyleSheets.push(sheet);
  return sheet;
}
