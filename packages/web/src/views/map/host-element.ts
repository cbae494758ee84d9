import type { MapCell } from "../../core/map/cluster-view.js";
import { type Node, nodeStatus, nodeStatusText } from "../../core/model/node.js";
import { taskDisplaySymbol, taskDisplayText } from "../../core/model/task-display.js";
import { formatBytes, formatCpuCount, formatCpus } from "../../format/format.js";

/** How a cell is drawn, apart from the task. */
export interface CellStyle {
  /** Number of the color of the service. */
  readonly color: number;
  /** Whether the filter excludes the task. */
  readonly isExcluded: boolean;
}

interface Cell {
  readonly element: HTMLElement;
  readonly name: Text;
  readonly symbol: Text;
  readonly state: Text;
  content: MapCell;
}

/** One row of the map: a node with its tasks. */
export class HostElement {
  readonly element: HTMLElement;
  readonly #header: HTMLElement;
  readonly #title = document.createTextNode("");
  readonly #status = document.createTextNode("");
  readonly #resources = document.createTextNode("");
  readonly #reason = document.createTextNode("");
  readonly #cellsElement: HTMLElement;
  /** The cells, sorted by `sortKey`. */
  readonly #sorted: Cell[] = [];
  readonly #cells = new Map<string, Cell>();
  #node: Node | undefined;

  /** @param id of the node; empty for the row of tasks without a node */
  constructor(id: string, node: Node | undefined) {
    this.#node = node;
    this.element = createElement("div", "host", "row");
    this.element.dataset.node = id;
    this.#header = createElement("div", "host-header", "rowheader");
    this.#header.tabIndex = -1;
    const title = createElement("span", "host-title");
    title.append(this.#title);
    const status = createElement("span", "host-status");
    status.append(this.#status);
    const resources = createElement("span", "host-resources");
    resources.append(this.#resources);
    const reason = createElement("span", "host-reason");
    reason.append(this.#reason);
    this.#header.append(title, status, resources, reason);
    this.#cellsElement = createElement("div", "cells", "presentation");
    this.element.append(this.#header, this.#cellsElement);
  }

  get node(): Node | undefined {
    return this.#node;
  }

  get taskIds(): readonly string[] {
    return [...this.#cells.keys()];
  }

  update(node: Node | undefined, { isCurrent }: { readonly isCurrent: boolean }): void {
    this.#node = node;
    const status = node === undefined ? "unplaced" : nodeStatus(node, isCurrent);
    this.element.dataset.status = status;
    const title = node?.hostname ?? "No node yet";
    const statusText = status === "unplaced" ? "" : nodeStatusText(status);
    const isNormal = status === "ready" || status === "unknown";
    const reason = isNormal ? "" : (node?.message ?? "");
    setText(this.#title, title);
    setText(this.#status, statusText);
    setText(this.#resources, node === undefined ? "" : reservedText(node));
    if (node !== undefined) setText(this.#reason, reason);
    const name = [title, statusText].filter(Boolean).join(" ");
    this.#header.ariaLabel = reason === "" ? name : `${name}: ${reason}`;
  }

  /** Adds or changes the cell of a task. */
  setCell(content: MapCell, { color, isExcluded }: CellStyle): void {
    const cell = this.#cells.get(content.taskId) ?? this.#addCell(content);
    cell.content = content;
    if (this.#node === undefined) setText(this.#reason, content.message);
    const { display, name, message } = content;
    const stateText = taskDisplayText(display);
    const { element } = cell;
    element.dataset.state = display;
    element.className = `cell service-${color}${isExcluded ? " excluded" : ""}`;
    setText(cell.name, name);
    setText(cell.symbol, taskDisplaySymbol(display));
    setText(cell.state, stateText);
    const label = message === "" ? `${name} ${stateText}` : `${name} ${stateText}: ${message}`;
    if (element.ariaLabel !== label) {
      element.ariaLabel = label;
      element.title = label;
    }
  }

  removeCell(taskId: string): void {
    const cell = this.#cells.get(taskId);
    if (cell === undefined) return;
    this.#cells.delete(taskId);
    this.#sorted.splice(this.#sorted.indexOf(cell), 1);
    keepTabStop(cell.element);
    cell.element.remove();
  }

  cellElement(taskId: string): Element | undefined {
    return this.#cells.get(taskId)?.element;
  }

  remove(): void {
    keepTabStop(this.#header);
    for (const { element } of this.#sorted) keepTabStop(element);
    this.element.remove();
  }

  #addCell(content: MapCell): Cell {
    const cell = createCell(content);
    const position = this.#sorted.findIndex((other) => other.content.sortKey > content.sortKey);
    const next = position < 0 ? undefined : this.#sorted[position];
    this.#sorted.splice(position < 0 ? this.#sorted.length : position, 0, cell);
    this.#cellsElement.insertBefore(cell.element, next?.element ?? null);
    this.#cells.set(content.taskId, cell);
    return cell;
  }
}

/** Returns how much of the node's CPUs and memory tasks have reserved: "0.5 of 4 vCPUs, 1 GiB of 8 GiB reserved". */
function reservedText(node: Node): string {
  if (node.nanoCpus === 0) return "";
  const cpus = `${formatCpuCount(node.reservedNanoCpus)} of ${formatCpus(node.nanoCpus)}`;
  return `${cpus}, ${formatBytes(node.reservedMemoryBytes)} of ${formatBytes(node.memoryBytes)} reserved`;
}

function createCell(content: MapCell): Cell {
  const element = createElement("div", "cell", "gridcell");
  element.tabIndex = -1;
  element.dataset.task = content.taskId;
  const texts = { symbol: createText("symbol"), name: createText("name"), state: createText("state") };
  texts.symbol.element.ariaHidden = "true";
  element.append(texts.symbol.element, texts.name.element, " ", texts.state.element);
  return { element, content, symbol: texts.symbol.text, name: texts.name.text, state: texts.state.text };
}

function createText(className: string): { readonly element: HTMLElement; readonly text: Text } {
  const element = createElement("span", className);
  const text = document.createTextNode("");
  element.append(text);
  return { element, text };
}

function createElement(name: string, className: string, role?: string): HTMLElement {
  const element = document.createElement(name);
  element.className = className;
  if (role !== undefined) element.setAttribute("role", role);
  return element;
}

/** Makes the grid the tab stop before the element that was it is removed. */
function keepTabStop(element: HTMLElement): void {
  const grid = element.closest<HTMLElement>("[role=grid]");
  if (element.tabIndex === 0 && grid !== null) grid.tabIndex = 0;
}

/** Leaves a text alone that does not change, so that the browser need not draw it again. */
function setText(text: Text, value: string): void {
  if (text.data !== value) text.data = value;
}
