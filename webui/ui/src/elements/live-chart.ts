import { css, html, LitElement, type PropertyValues, type TemplateResult, unsafeCSS } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import uPlot from 'uplot';
import uPlotStyle from 'uplot/dist/uPlot.min.css?inline';
import { isBytes, reading } from '../format';
import { serverNow } from '../now';
import type { SampleRing } from '../series';
import { shared } from './styles';

/** Ten pictures a second look fluent; more cost battery for nothing. */
const FRAME_MS = 100;
const CALM_FRAME_MS = 1_000;
const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const calm = window.matchMedia('(prefers-reduced-motion: reduce)');

/** A line of the last minutes that follows the time. */
@customElement('fg-live-chart')
export class LiveChart extends LitElement {
  static override styles = [
    unsafeCSS(uPlotStyle),
    shared,
    css`
      :host {
        position: relative;
        display: block;
        min-height: 160px;
      }

      .plot {
        position: absolute;
        inset: 0;
        overflow: hidden;
      }

      .u-legend {
        display: none;
      }

      .tip {
        position: absolute;
        top: 8px;
        right: 14px;
        padding: 3px 10px;
        border-radius: 6px;
        background: var(--surface-sunk);
        font-size: 0.9em;
        pointer-events: none;
      }

      .tip:empty {
        display: none;
      }
    `,
  ];

  @property({ attribute: false }) ring!: SampleRing;
  @property({ attribute: false }) unit = '';
  @property({ attribute: false }) windowMs = 300_000;
  @property({ attribute: false }) description = '';
  @query('.plot') private readonly box!: HTMLElement;
  @query('.tip') private readonly tip!: HTMLElement;
  #plot: uPlot | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #resized = new ResizeObserver(() => {
    this.#plot?.setSize(this.#size());
  });

  override connectedCallback(): void {
    super.connectedCallback();
    dark.addEventListener('change', this.#rebuild);
    this.#timer = setInterval(
      () => {
        if (document.visibilityState === 'visible') requestAnimationFrame(this.#draw);
      },
      calm.matches ? CALM_FRAME_MS : FRAME_MS,
    );
  }

  override disconnectedCallback(): void {
    dark.removeEventListener('change', this.#rebuild);
    clearInterval(this.#timer);
    this.#resized.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
    super.disconnectedCallback();
  }

  protected override render(): TemplateResult {
    return html`<div class="plot" role="img" aria-label=${this.description}><span class="tip"></span></div>`;
  }

  protected override firstUpdated(): void {
    this.#resized.observe(this.box);
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has('ring') || changed.has('unit')) this.#rebuild();
  }

  readonly #rebuild = (): void => {
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(), [[], []], this.box);
    this.#draw();
  };

  readonly #draw = (): void => {
    const to = serverNow();
    const { times, values } = this.ring.since(to - this.windowMs);
    const newest = values.at(-1);
    // A value holds until the next one comes, so the line goes on to now.
    if (newest != null) {
      times.push(Math.max(to, times.at(-1) ?? to));
      values.push(newest);
    }
    this.#plot?.batch(() => {
      this.#plot?.setData([times.map((time) => time / 1000), values], false);
      this.#plot?.setScale('x', { min: (to - this.windowMs) / 1000, max: to / 1000 });
    });
  };

  #size(): { width: number; height: number } {
    return { width: Math.max(160, this.box.clientWidth), height: Math.max(120, this.box.clientHeight) };
  }

  #options(): uPlot.Options {
    const style = getComputedStyle(this);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const font = `12px ${style.fontFamily}`;
    const axis: uPlot.Axis = {
      stroke: colour('--ink-faint'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { stroke: colour('--line'), width: 1 },
      font,
    };
    const line = colour('--accent');
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 8, fill: line } },
      scales: { x: { time: true, auto: false }, y: { range: readableRange } },
      axes: [
        { ...axis, space: 80, incrs: TIME_STEPS_S, values: '{HH}:{mm}:{ss}' },
        { ...axis, size: 72, values: (_plot, splits) => splits.map((split) => this.#tick(split)) },
      ],
      series: [{}, { stroke: line, width: 2, fill: `color-mix(in srgb, ${line} 10%, transparent)`, points: { show: false }, spanGaps: false }],
      hooks: { setCursor: [this.#point] },
    };
  }

  #tick(value: number): string {
    const shown = reading(String(value), isBytes(this.unit) ? this.unit : '');
    return shown.unit === '' ? shown.value : `${shown.value} ${shown.unit}`;
  }

  readonly #point = (plot: uPlot): void => {
    const index = plot.cursor.idx;
    const time = index == null ? undefined : plot.data[0][index];
    const value = index == null ? null : plot.data[1]?.[index];
    if (time === undefined || value == null) {
      this.tip.textContent = '';
      return;
    }
    const shown = reading(String(value), this.unit);
    this.tip.textContent = `${new Date(time * 1000).toLocaleTimeString('en-GB')}  ${shown.value} ${shown.unit}`;
  };
}

/** Room above and below the line; a flat one lies in the middle and not on an edge. */
function readableRange(_plot: uPlot, min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  const spread = max - min || Math.abs(max) * 0.1 || 1;
  return [min - spread * 0.1, max + spread * 0.1];
}
