export { type ExtractOptions, extractArchive } from "./extract-archive.js";
export { type PackOptions, packArchive } from "./pack-archive.js";
export {
  extractShipped,
  MAX_SHIPPED_ARCHIVE_BYTES,
  MAX_SHIPPED_BYTES,
  MAX_SHIPPED_ENTRIES,
  packShipped,
  type ShippedExtraction,
  type ShippedSize,
} from "./shipped-archive.js";
