import { css, html, LitElement, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import { eventType, type PointView } from '../devices';
import { reading } from '../format';
import { routeHash } from '../route';
import type { Sample } from '../series';
import { text } from '../strings';
import { shared } from './styles';
import './live-age';
import './spark-line';

const calm = window.matchMedia('(prefers-reduced-motion: reduce)');

/** One point on a card: name, line, value, age; a link to its chart or its payload. */
@customElement('fg-point')
export class PointRow extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        container-type: inline-size;
      }

      a {
        display: grid;
        grid-template-columns: minmax(0, 1fr) 4rem 6.3rem 2.8rem;
        align-items: center;
        gap: 6px;
        min-height: 2.4rem;
        padding: 2px 16px;
      }

      a.words {
        grid-template-columns: minmax(4.5rem, auto) minmax(0, 1fr) 2.8rem;
      }

      @container (max-width: 25rem) {
        a.number {
          grid-template-columns: minmax(0, 1fr) 2.9rem 6.3rem 2.8rem;
        }
      }

      @container (max-width: 19rem) {
        a.number {
          grid-template-columns: minmax(0, 1fr) auto 2.8rem;
        }

        fg-spark {
          display: none;
        }
      }

      a:hover {
        background: var(--surface-sunk);
      }

      a:focus-visible {
        outline-offset: -2px;
      }

      .name {
        overflow: hidden;
        color: var(--ink-soft);
        text-overflow: ellipsis;
        white-space: nowrap;
      }

      .value {
        justify-self: end;
        max-width: 100%;
        overflow: hidden;
        padding: 1px 5px;
        border-radius: 6px;
        font-weight: 600;
        text-align: right;
        text-overflow: ellipsis;
        white-space: nowrap;
      }

      .stale .value {
        color: var(--ink-faint);
        font-weight: 400;
      }

      .stale fg-spark {
        opacity: 0.45;
      }

      .stale fg-age {
        color: var(--warn);
        font-weight: 600;
      }

      .unit {
        margin-left: 3px;
        color: var(--ink-soft);
        font-size: 0.85em;
        font-weight: 400;
      }

      fg-age {
        color: var(--ink-faint);
        font-size: 0.8em;
        text-align: right;
        white-space: nowrap;
      }
    `,
  ];

  @property({ attribute: false }) point!: PointView;
  @property({ attribute: false }) samples: readonly Sample[] = [];
  @query('.value') private readonly valueBox!: HTMLElement;

  protected override render(): TemplateResult {
    const { name, topic, numeric, event, stale, interval, value } = this.point;
    const shown = value.base64
      ? { value: text.topics.binary(text.size(Math.floor((value.payload.length * 3) / 4))), unit: '' }
      : reading(event ? eventType(value.payload) : value.payload, this.point.unit);
    const title = stale
      ? text.devices.staleTitle(name, interval)
      : numeric
        ? text.devices.openChart(name)
        : text.devices.openTopic(name);
    return html`<a class="${numeric ? 'number' : 'words'} ${stale ? 'stale' : ''}" href=${routeHash(numeric ? 'chart' : 'topics', topic)} title=${title}>
      <span class="name">${name}</span>
      ${numeric ? html`<fg-spark .samples=${this.samples}></fg-spark>` : null}
      <span class="value" title=${value.payload.slice(0, 200)}
        >${shown.value === '' ? '–' : shown.value}${shown.unit === ''
          ? null
          : html`<span class="unit">${shown.unit}</span>`}</span
      >
      <fg-age short .time=${value.time}></fg-age>
    </a>`;
  }

  protected override updated(changed: PropertyValues<this>): void {
    const before = changed.get('point');
    if (before === undefined || before.value.payload === this.point.value.payload || calm.matches) return;
    const flash = getComputedStyle(this).getPropertyValue('--flash');
    this.valueBox.animate([{ backgroundColor: flash }, { backgroundColor: 'transparent' }], 900);
  }
}
