/** Returns whether the value of an `Accept-Encoding` header allows an encoding, such as "gzip". */
export function acceptsEncoding(header: string, encoding: string): boolean {
  return header.split(",").some((entry) => {
    const [name, quality = ""] = entry.trim().split(";");
    return name === encoding && !/^\s*q=0(\.0*)?$/.test(quality);
  });
}
