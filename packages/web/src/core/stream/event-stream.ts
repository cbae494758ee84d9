/** One event of a stream of server-sent events. */
export interface StreamEvent {
  /** "message" for an event without a name. */
  readonly name: string;
  readonly data: string;
  /** Empty when the event has no ID. */
  readonly id: string;
}

/** Maximum length of a line. A longer one is an error of the server, and would fill the memory. */
const MAX_LINE_LENGTH = 32 * 1_024 * 1_024;

/**
 * Splits a text into server-sent events. `EventSource` does the same, but does not say why a request was refused.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export class EventStreamParser {
  /** The beginning of a line whose end has not arrived. */
  #rest = "";
  #name = "message";
  #id = "";
  #data: string[] = [];

  /**
   * Returns the events that are complete with this text.
   *
   * @throws RangeError for a line that is too long
   */
  push(text: string): readonly StreamEvent[] {
    const lines = text.split("\n");
    lines[0] = this.#rest + (lines[0] ?? "");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_LINE_LENGTH) {
      throw new RangeError("the server sent an event that is too long");
    }
    return lines.flatMap((line) => this.#readLine(line.endsWith("\r") ? line.slice(0, -1) : line) ?? []);
  }

  /** Returns the event that ends with an empty line. */
  #readLine(line: string): StreamEvent | undefined {
    if (line === "") return this.#endEvent();
    const colon = line.indexOf(":");
    if (colon <= 0) return undefined;
    const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    switch (line.slice(0, colon)) {
      case "event":
        this.#name = value;
        break;
      case "id":
        this.#id = value;
        break;
      case "data":
        this.#data.push(value);
        break;
      default:
    }
    return undefined;
  }

  /** An event without data is a comment. */
  #endEvent(): StreamEvent | undefined {
    const event = { name: this.#name, data: this.#data.join("\n"), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#name = "message";
    this.#id = "";
    this.#data = [];
    return isEmpty ? undefined : event;
  }
}
