import type { ChangedIds } from "../../core/cluster/cluster-store.js";
import { type ClusterView, mapCell, matchesFilter } from "../../core/map/cluster-view.js";
import type { Density } from "../../core/map/density.js";
import type { ServiceColors } from "../../core/map/service-colors.js";
import { compareNodes, type Node } from "../../core/model/node.js";
import { HostElement } from "./host-element.js";
import { MoveAnimation } from "./move-animation.js";

/** Time for changes in one frame. The browser needs the rest of 16 ms for layout and painting. */
const FRAME_BUDGET_MS = 6;
/** The row of tasks that have no node. */
const UNPLACED = "";

export interface MapRendererOptions {
  readonly colors: ServiceColors;
  readonly onOpenTask: (taskId: string) => void;
  readonly onOpenNode: (nodeId: string) => void;
}

/** What the map shows, apart from changes of records. */
export interface MapSettings {
  readonly density: Density;
  readonly filter: string;
  /** Whether the web UI is up to date. Otherwise, it shows no task as running. */
  readonly isCurrent: boolean;
}

/**
 * Draws nodes and tasks as elements of a grid, and changes only elements whose record has changed. Changes that do not
 * fit into a frame wait for the next one, so that the web UI always reacts to the user.
 */
export class MapRenderer {
  readonly #root: HTMLElement;
  readonly #options: MapRendererOptions;
  readonly #hosts = new Map<string, HostElement>();
  /** The node on which each task is drawn. */
  readonly #hostOfTask = new Map<string, string>();
  readonly #dirtyNodes = new Set<string>();
  readonly #dirtyTasks = new Set<string>();
  readonly #animation = new MoveAnimation((taskId, nodeId) => this.#elementOf(taskId, nodeId));
  #view: ClusterView;
  #settings: MapSettings;
  #frame = 0;

  constructor(root: HTMLElement, view: ClusterView, settings: MapSettings, options: MapRendererOptions) {
    this.#root = root;
    this.#view = view;
    this.#settings = settings;
    this.#options = options;
    root.addEventListener("click", this.#onClick);
    this.show(view);
  }

  /** Shows another view of the cluster, such as one of the replay. */
  show(view: ClusterView): void {
    this.#view = view;
    this.#markAll();
  }

  set settings(settings: MapSettings) {
    if (settings.density !== this.#settings.density) this.#root.dataset.density = settings.density;
    this.#settings = settings;
    this.#markAll();
  }

  /** Redraws what has changed. */
  change({ nodes, tasks, moves }: ChangedIds): void {
    for (const id of nodes) this.#markNode(id);
    for (const id of tasks) this.#dirtyTasks.add(id);
    // The element of the replaced task may be removed with the next frame.
    this.#animation.plan(moves);
    this.#schedule();
  }

  close(): void {
    cancelAnimationFrame(this.#frame);
    this.#root.removeEventListener("click", this.#onClick);
    this.#root.replaceChildren();
  }

  #markAll(): void {
    this.#root.dataset.density = this.#settings.density;
    for (const id of [...this.#hosts.keys(), ...this.#view.nodes.keys()]) this.#dirtyNodes.add(id);
    for (const id of [...this.#hostOfTask.keys(), ...this.#view.tasks.keys()]) this.#dirtyTasks.add(id);
    this.#schedule();
  }

  /** The state of a node decides what is known about its tasks. */
  #markNode(id: string): void {
    this.#dirtyNodes.add(id);
    for (const taskId of this.#view.tasksOnNode(id)) this.#dirtyTasks.add(taskId);
  }

  #schedule(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(this.#draw);
  }

  readonly #draw = (): void => {
    this.#frame = 0;
    const endMs = performance.now() + FRAME_BUDGET_MS;
    const isDone = this.#drawNodes(endMs) && this.#drawTasks(endMs);
    if (!isDone) {
      this.#schedule();
      return;
    }
    this.#animation.start();
    this.#root.ariaBusy = "false";
  };

  /** Draws nodes until the time is over. Returns whether all are drawn. */
  #drawNodes(endMs: number): boolean {
    for (const id of this.#dirtyNodes) {
      if (performance.now() > endMs) return false;
      this.#dirtyNodes.delete(id);
      this.#drawNode(id);
    }
    return true;
  }

  #drawNode(id: string): void {
    const node = this.#view.nodes.get(id);
    if (node === undefined && id !== UNPLACED) {
      for (const taskId of this.#hosts.get(id)?.taskIds ?? []) this.#hostOfTask.delete(taskId);
      this.#hosts.get(id)?.remove();
      this.#hosts.delete(id);
      return;
    }
    this.#hostElement(id, node).update(node, this.#settings);
  }

  #hostElement(id: string, node: Node | undefined): HostElement {
    const existing = this.#hosts.get(id);
    if (existing !== undefined) return existing;
    const created = new HostElement(id, node);
    this.#hosts.set(id, created);
    this.#root.insertBefore(created.element, this.#elementAfter(node));
    return created;
  }

  /** The element before which a new node is inserted. Unplaced tasks come first. */
  #elementAfter(node: Node | undefined): Element | null {
    if (node === undefined) return this.#root.firstElementChild;
    const next = [...this.#hosts.values()]
      .filter((host) => host.node !== undefined && compareNodes(host.node, node) > 0)
      .sort((a, b) => (a.node && b.node ? compareNodes(a.node, b.node) : 0))[0];
    return next?.element ?? null;
  }

  #drawTasks(endMs: number): boolean {
    for (const id of this.#dirtyTasks) {
      if (performance.now() > endMs) return false;
      this.#dirtyTasks.delete(id);
      this.#drawTask(id);
    }
    return true;
  }

  #drawTask(id: string): void {
    const cell = mapCell(this.#view, id, this.#settings.isCurrent);
    const nodeId = cell === undefined ? undefined : (this.#view.tasks.get(id)?.nodeId ?? UNPLACED);
    const drawnOn = this.#hostOfTask.get(id);
    if (drawnOn !== undefined && drawnOn !== nodeId) {
      this.#hosts.get(drawnOn)?.removeCell(id);
      this.#hostOfTask.delete(id);
      if (drawnOn === UNPLACED) this.#removeUnplacedIfEmpty();
    }
    if (cell === undefined || nodeId === undefined) return;
    const host = this.#hostElement(nodeId, this.#view.nodes.get(nodeId));
    if (nodeId === UNPLACED && host.node === undefined) host.update(undefined, this.#settings);
    host.setCell(cell, {
      color: this.#options.colors.colorOf(cell.serviceName),
      isExcluded: !matchesFilter(cell, this.#settings.filter),
    });
    this.#hostOfTask.set(id, nodeId);
  }

  #removeUnplacedIfEmpty(): void {
    const host = this.#hosts.get(UNPLACED);
    if (host === undefined || host.taskIds.length > 0) return;
    host.remove();
    this.#hosts.delete(UNPLACED);
  }

  /** The element of a task, or of its node when the task is not drawn. */
  #elementOf(taskId: string, nodeId: string): Element | undefined {
    const host = this.#hosts.get(this.#hostOfTask.get(taskId) ?? nodeId);
    return host?.cellElement(taskId) ?? host?.element;
  }

  readonly #onClick = (event: Event): void => {
    const target = event.target instanceof Element ? event.target : undefined;
    const task = target?.closest<HTMLElement>("[data-task]")?.dataset.task;
    const node = target?.closest<HTMLElement>("[data-node]")?.dataset.node;
    if (task !== undefined) this.#options.onOpenTask(task);
    else if (node !== undefined && node !== UNPLACED) this.#options.onOpenNode(node);
  };
}
