import { isNull, scalarNode } from "../tree/node.js";
import { dictionary, fields, key } from "./shapes/map-shapes.js";
import { scalarAsText, text } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape } from "./shapes/shape.js";
import { choiceOf, NULL_SCHEMA } from "./shapes/value-schema.js";

const optionValue = defineShape(choiceOf(scalarAsText.schema, NULL_SCHEMA), (cursor, stage) =>
  isNull(cursor.node) ? scalarNode("", cursor.position) : scalarAsText(cursor, stage),
);

/** `logging`. */
export const logging: Shape = fields({
  driver: key(text, "Logging driver", "local"),
  options: key(dictionary(optionValue), "Logging driver options", { "max-size": "10m" }),
});
