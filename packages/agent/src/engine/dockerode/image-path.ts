import { imageProblem } from "@berth/proto";
import { EngineError } from "../engine-error.js";

/**
 * Returns the path of an image in Docker's API. The image is part of the path, so another path must not pass for one.
 * @throws EngineError `invalid` when the image is not a reference by Docker's grammar
 */
export function imagePath(image: string): string {
  requireImageReference(image);
  return `/images/${image.split("/").map(encodeURIComponent).join("/")}`;
}

/** @throws EngineError `invalid` when the image is not a reference by Docker's grammar */
export function requireImageReference(image: string): void {
  const problem = imageProblem(image);
  if (problem !== undefined) throw new EngineError("invalid", `invalid image: ${problem}`);
}
