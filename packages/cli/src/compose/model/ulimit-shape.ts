import { dictionary, fields, key } from "./shapes/map-shapes.js";
import { integer } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape } from "./shapes/shape.js";
import { choiceOf } from "./shapes/value-schema.js";

const softAndHard = fields(
  {
    soft: key(integer, "Soft limit, which a process can raise", 1024),
    hard: key(integer, "Hard limit, which only root can raise", 2048),
  },
  ["soft", "hard"],
);

/** The limits of a process, by name. */
export const ulimits: Shape = dictionary(
  defineShape(choiceOf(integer.schema, softAndHard.schema), (cursor, stage) =>
    cursor.node.kind === "map" ? softAndHard(cursor, stage) : integer(cursor, stage),
  ),
);
