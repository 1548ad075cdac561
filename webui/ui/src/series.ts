/** Values over time, bounded: the chart's ring and the little lines on the cards. */

/** Samples of one topic, oldest overwritten at the bound; a null is a break in the line. */
export class SampleRing {
  readonly #times: Float64Array;
  readonly #values: Float64Array;
  #start = 0;
  #size = 0;

  constructor(readonly capacity = 30_000) {
    this.#times = new Float64Array(capacity);
    this.#values = new Float64Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** The newest sample's value; undefined where there is none. */
  get newest(): number | null | undefined {
    return this.#at(this.#size - 1)?.value;
  }

  push(time: number, value: number | null): void {
    const place = (this.#start + this.#size) % this.capacity;
    this.#times[place] = time;
    this.#values[place] = value ?? Number.NaN;
    if (this.#size < this.capacity) this.#size += 1;
    else this.#start = (this.#start + 1) % this.capacity;
  }

  /** Forget what isn't older than `time`, since somebody knows better. */
  forgetFrom(time: number): void {
    while ((this.#at(this.#size - 1)?.time ?? -Infinity) >= time) this.#size -= 1;
  }

  /** A break after the newest sample: something is missing here, so no line across it. */
  breakLine(): void {
    const newest = this.#at(this.#size - 1);
    if (newest?.value != null) this.push(newest.time, null);
  }

  /** Times and values from `from` on, and the one sample before, so that the line enters the frame. */
  since(from: number): { times: number[]; values: (number | null)[] } {
    let first = this.#size;
    while (first > 0 && (this.#at(first - 1)?.time ?? 0) >= from) first -= 1;
    if (first > 0) first -= 1;
    const times: number[] = [];
    const values: (number | null)[] = [];
    for (let index = first; index < this.#size; index += 1) {
      const sample = this.#at(index);
      if (sample === null) continue;
      times.push(sample.time);
      values.push(sample.value);
    }
    return { times, values };
  }

  #at(index: number): { time: number; value: number | null } | null {
    if (index < 0 || index >= this.#size) return null;
    const place = (this.#start + index) % this.capacity;
    const value = this.#values[place] ?? Number.NaN;
    return { time: this.#times[place] ?? 0, value: Number.isNaN(value) ? null : value };
  }
}

export interface Summary {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
}

/** Smallest, mean and largest of the samples inside the frame; null where there is none. */
export function summarise(
  times: readonly number[],
  values: readonly (number | null)[],
  from: number,
): Summary | null {
  let count = 0;
  let sum = 0;
  let min = Infinity;
  let max = -Infinity;
  for (const [index, value] of values.entries()) {
    if (value === null || (times[index] ?? 0) < from) continue;
    count += 1;
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  return count === 0 ? null : { min, mean: sum / count, max };
}

export interface Sample {
  readonly time: number;
  readonly value: number;
}

const SPARK_SAMPLES = 60;
const SPARK_TOPICS = 2_000;
/** Samples closer than this replace each other, so that a fast point's line spans a while too. */
const SPARK_SPACING_MS = 500;

/** The last minute or so of every point, for the cards; past the bound, points have no line. */
export class SparkHistory {
  readonly #series = new Map<string, Sample[]>();

  push(topic: string, time: number, value: number): void {
    let series = this.#series.get(topic);
    if (series === undefined) {
      if (this.#series.size >= SPARK_TOPICS) return;
      series = [];
      this.#series.set(topic, series);
    }
    const before = series.at(-2);
    if (before !== undefined && time - before.time < SPARK_SPACING_MS) series.pop();
    series.push({ time, value });
    if (series.length > SPARK_SAMPLES) series.shift();
  }

  /** Oldest first; a fresh list each time, so that a changed line is a changed property. */
  get(topic: string): readonly Sample[] {
    return [...(this.#series.get(topic) ?? [])];
  }

  /** Put older samples, ascending, before those that are there. */
  prepend(topic: string, older: readonly Sample[]): void {
    const newer = this.#series.get(topic) ?? [];
    const until = newer[0]?.time ?? Infinity;
    this.#series.delete(topic);
    for (const { time, value } of older) if (time < until) this.push(topic, time, value);
    for (const { time, value } of newer) this.push(topic, time, value);
  }
}

/** An SVG path through the samples, in a box of `width` × `height`; "" for fewer than two. */
export function sparkPath(samples: readonly Sample[], width: number, height: number): string {
  const first = samples[0];
  const last = samples.at(-1);
  if (first === undefined || last === undefined || last.time <= first.time) return '';
  const values = samples.map((sample) => sample.value);
  const min = Math.min(...values);
  const range = Math.max(...values) - min;
  const points = samples.map(({ time, value }) => {
    const x = ((time - first.time) / (last.time - first.time)) * width;
    const y = range === 0 ? height / 2 : height - ((value - min) / range) * height;
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join('L')}`;
}
