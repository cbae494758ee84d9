import { useComputed, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { cluster } from "../../app/cluster.js";
import { density } from "../../app/preferences.js";
import { navigate } from "../../app/router.js";
import { isShownCurrent, shownView } from "../../app/shown-cluster.js";
import { automaticDensity, type Density } from "../../core/map/density.js";
import { formatCount } from "../../format/format.js";
import { startGridNavigation } from "./grid-navigation.js";
import { MapRenderer } from "./map-renderer.js";

/** The density that the user has chosen, or that fits the cluster. */
function shownDensity(): Density {
  void cluster.revision.value;
  return density.value === "automatic"
    ? automaticDensity(cluster.store.nodes.size, cluster.store.tasks.size)
    : density.value;
}

/** Draws the map with elements that follow the changes of records. */
export function LiveMap({ filter }: { readonly filter: string }): JSX.Element {
  const root = useRef<HTMLDivElement>(null);
  const renderer = useRef<MapRenderer>(null);
  const wanted = useComputed(shownDensity);

  useEffect(() => {
    const element = root.current;
    if (element === null) return undefined;
    const created = new MapRenderer(
      element,
      shownView(),
      { density: wanted.peek(), filter, isCurrent: isShownCurrent() },
      {
        colors: cluster.colors,
        onOpenTask: (id) => navigate({ view: "task", id }),
        onOpenNode: (id) => navigate({ view: "node", name: cluster.store.nodes.get(id)?.hostname ?? id }),
      },
    );
    renderer.current = created;
    const stopNavigation = startGridNavigation(element);
    const stopChanges = cluster.onChange((changed) => {
      if (cluster.replayAtMs.peek() === undefined) created.change(changed);
    });
    return () => {
      stopChanges();
      stopNavigation();
      created.close();
    };
  }, []);

  useSignalEffect(() => {
    // Reading the signal makes the effect run again.
    void cluster.replayAtMs.value;
    renderer.current?.show(shownView());
  });
  const settings = useComputed(() => ({ density: wanted.value, isCurrent: isShownCurrent() }));
  useEffect(() => {
    if (renderer.current !== null) renderer.current.settings = { ...settings.value, filter };
  }, [settings.value.density, settings.value.isCurrent, filter]);

  const { nodes, tasks } = cluster.store;
  return (
    // biome-ignore lint/a11y/useSemanticElements: the rows of a table cannot flow like tiles.
    <div
      ref={root}
      class="map"
      role="grid"
      tabIndex={0}
      aria-label={`Map of ${formatCount(nodes.size, "node")} and ${formatCount(tasks.size, "task")}`}
      aria-description="Rows are nodes. Use the arrow keys to move and Enter to open."
    />
  );
}
