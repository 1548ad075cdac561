import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { DeviceView } from '../devices';
import { asNumber, decimals, label, reading } from '../format';
import { CHART_WINDOW_MS, type Gate } from '../gate';
import { serverNow } from '../now';
import { routeHash } from '../route';
import { type SampleRing, type Summary, summarise } from '../series';
import { text } from '../strings';
import { shared } from './styles';
import './live-age';
import './live-chart';

/** A list to choose from holds no more than this; search under Topics finds the rest. */
const CHOICES = 500;

interface Choice {
  readonly topic: string;
  readonly name: string;
}

/** One value, drawn as it comes. */
@customElement('fg-chart')
export class ChartView extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
      }

      .heading {
        display: flex;
        flex-wrap: wrap;
        align-items: end;
        justify-content: space-between;
        gap: 12px 24px;
        margin-bottom: 14px;
      }

      .what {
        min-width: 0;
      }

      h1 {
        font-size: 1.35rem;
        letter-spacing: -0.015em;
      }

      .topic {
        color: var(--ink-faint);
        font: 0.85em var(--mono);
        overflow-wrap: anywhere;
      }

      .topic:hover {
        color: var(--accent);
        text-decoration: underline;
      }

      select {
        max-width: 100%;
        height: 38px;
        padding: 0 10px;
        border: 1px solid var(--line-strong);
        border-radius: var(--radius-small);
        background: var(--surface);
        color: inherit;
        font: inherit;
      }

      .panel {
        flex: 1;
        display: flex;
        flex-direction: column;
        min-height: 260px;
        max-height: 48rem;
        padding: 14px 16px 8px;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--surface);
        box-shadow: var(--shadow);
      }

      .numbers {
        display: flex;
        flex-wrap: wrap;
        align-items: baseline;
        gap: 4px 24px;
        margin-bottom: 10px;
      }

      .now {
        flex: 1;
        font-size: 2.2rem;
        font-weight: 650;
        letter-spacing: -0.02em;
        line-height: 1.15;
        white-space: nowrap;
      }

      .now .unit {
        margin-left: 4px;
        color: var(--ink-faint);
        font-size: 0.5em;
        font-weight: 400;
        letter-spacing: 0;
      }

      .now fg-age {
        margin-left: 12px;
        color: var(--ink-faint);
        font-size: 0.9rem;
        font-weight: 400;
        letter-spacing: 0;
      }

      dl {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 20px;
      }

      .window {
        white-space: nowrap;
        color: var(--ink-faint);
        font-size: 0.9em;
      }

      dt {
        color: var(--ink-faint);
        font-size: 0.8em;
      }

      dd {
        font-weight: 600;
        white-space: nowrap;
      }

      fg-live-chart {
        flex: 1;
      }

      .note {
        margin: auto;
        padding: 24px;
        color: var(--ink-soft);
        text-align: center;
      }
    `,
  ];

  @property({ attribute: false }) gate!: Gate;
  @property({ attribute: false }) topic = '';
  @property({ attribute: false }) devices: readonly DeviceView[] = [];
  @state() private ring: SampleRing | null = null;
  #stop: (() => void) | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stop = this.gate.store.subscribe((change) => {
      if (change.all || change.topics.has(this.topic) || (change.shape && this.topic === '')) this.requestUpdate();
    });
  }

  override disconnectedCallback(): void {
    this.#stop?.();
    this.gate.endChart();
    this.ring = null;
    super.disconnectedCallback();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('topic') && this.ring !== null) return;
    this.gate.endChart();
    this.ring = this.topic === '' ? null : this.gate.chart(this.topic, () => {
      this.requestUpdate();
    });
  }

  protected override render(): TemplateResult {
    const place = this.topic.split('/');
    const name = this.#name() || label(place.at(-1) ?? '') || text.chart.title;
    return html`<div class="heading">
        <div class="what">
          <h1>${name}</h1>
          ${this.topic === ''
            ? nothing
            : html`<a class="topic" href=${routeHash('topics', this.topic)}>${this.topic}</a>`}
        </div>
        ${this.#picker()}
      </div>
      <div class="panel">${this.#panel(name)}</div>`;
  }

  #panel(name: string): TemplateResult {
    if (this.topic === '' || this.ring === null) {
      const some = this.#choices().length + this.#others().length > 0;
      return html`<p class="note">${some ? text.chart.none : text.chart.nothing}</p>`;
    }
    const value = this.gate.store.get(this.topic);
    if (value === undefined && this.ring.size === 0) return html`<p class="note">${text.chart.waiting}</p>`;
    const unit = this.gate.board?.point(this.topic)?.unit ?? '';
    const numeric = value !== undefined && asNumber(value.payload) !== null;
    const shown = numeric ? reading(value.payload, unit) : { value: '–', unit: '' };
    const from = serverNow() - CHART_WINDOW_MS;
    const { times, values } = this.ring.since(from);
    return html`<div class="numbers">
        <p class="now">
          ${shown.value}<span class="unit">${shown.unit}</span>${value === undefined
            ? nothing
            : html`<fg-age .time=${value.time}></fg-age>`}
        </p>
        ${this.#summary(summarise(times, values, from), unit, decimals(value?.payload ?? ''))}
      </div>
      ${value !== undefined && !numeric && this.ring.size === 0
        ? html`<p class="note">${text.chart.notNumber}</p>`
        : html`<fg-live-chart
            .ring=${this.ring}
            .unit=${unit}
            .windowMs=${CHART_WINDOW_MS}
            .description=${text.chart.aria(name)}
          ></fg-live-chart>`}`;
  }

  #summary(summary: Summary | null, unit: string, places: number): TemplateResult {
    const cell = (word: string, value: number | undefined): TemplateResult => {
      const shown = value === undefined ? { value: '–', unit: '' } : reading(value.toFixed(places), unit);
      return html`<div>
        <dt>${word}</dt>
        <dd>${shown.value} ${shown.unit}</dd>
      </div>`;
    };
    return html`<p class="window">${text.chart.window}</p>
      <dl>
        ${cell(text.chart.min, summary?.min)}${cell(text.chart.mean, summary?.mean)}${cell(text.chart.max, summary?.max)}
      </dl>`;
  }

  #picker(): TemplateResult {
    const option = ({ topic, name }: Choice): TemplateResult =>
      html`<option value=${topic} ?selected=${topic === this.topic}>${name}</option>`;
    const others = this.#others();
    return html`<label>
      <span class="spoken">${text.chart.pick}</span>
      <select @change=${this.#pick}>
        <option value="" ?selected=${this.topic === ''}>${text.chart.pickNone}</option>
        ${this.devices.map(
          (device) =>
            html`<optgroup label=${device.title}>${this.#choicesOf(device).map(option)}</optgroup>`,
        )}
        ${others.length === 0
          ? nothing
          : html`<optgroup label=${text.chart.others}>${others.map(option)}</optgroup>`}
      </select>
    </label>`;
  }

  #choices(): Choice[] {
    return this.devices.flatMap((device) => this.#choicesOf(device));
  }

  #choicesOf(device: DeviceView): Choice[] {
    return device.points
      .filter((point) => point.numeric)
      .map(({ topic, name }) => ({ topic, name }));
  }

  #others(): Choice[] {
    const listed = new Set(this.#choices().map(({ topic }) => topic));
    const others: Choice[] = [];
    for (const { topic, payload, base64 } of this.gate.store.values()) {
      if (others.length >= CHOICES) break;
      if (!base64 && !listed.has(topic) && asNumber(payload) !== null) others.push({ topic, name: topic });
    }
    if (this.topic !== '' && !listed.has(this.topic) && !others.some(({ topic }) => topic === this.topic)) {
      others.push({ topic: this.topic, name: this.topic });
    }
    return others.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #name(): string {
    for (const device of this.devices) {
      const point = device.points.find(({ topic }) => topic === this.topic);
      if (point !== undefined) return `${device.title}: ${point.name}`;
    }
    return '';
  }

  #pick(event: Event): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: (event.target as HTMLSelectElement).value }));
  }
}
