import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { DeviceView } from '../devices';
import { moment } from '../format';
import { serverNow } from '../now';
import type { SparkHistory } from '../series';
import { text } from '../strings';
import { shared } from './styles';
import './live-age';
import './point-control';
import './point-row';

/** One device: whether it is there, and every value it gives. */
@customElement('fg-device')
export class DeviceCard extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        overflow: hidden;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--surface);
        box-shadow: var(--shadow);
      }

      header {
        display: flex;
        align-items: center;
        gap: 10px;
        padding: 14px 16px 10px;
      }

      h2 {
        overflow: hidden;
        font-size: 1.1rem;
        font-weight: 650;
        letter-spacing: -0.01em;
        text-overflow: ellipsis;
        white-space: nowrap;
      }

      .reader {
        flex: 1;
        color: var(--ink-faint);
        font-size: 0.85em;
      }

      .state {
        display: inline-flex;
        align-items: center;
        gap: 6px;
        padding: 2px 10px 2px 8px;
        border-radius: 99px;
        background: var(--surface-sunk);
        color: var(--ink-soft);
        font-size: 0.82em;
        font-weight: 600;
        white-space: nowrap;
      }

      .state::before {
        width: 8px;
        height: 8px;
        border-radius: 50%;
        background: currentcolor;
        content: '';
      }

      .state.online {
        background: var(--good-wash);
        color: var(--good);
      }

      .state.offline {
        background: var(--bad-wash);
        color: var(--bad);
      }

      .state.offline::before {
        border: 2px solid currentcolor;
        background: none;
      }

      .away,
      .silent {
        margin: 0 16px 8px;
        padding: 8px 12px;
        border-radius: var(--radius-small);
        background: var(--bad-wash);
        font-size: 0.9em;
        overflow-wrap: anywhere;
      }

      .silent {
        background: var(--warn-wash);
      }

      .away .reason {
        display: block;
        color: var(--ink-soft);
      }

      .away .reason::first-letter {
        text-transform: uppercase;
      }

      ul {
        padding: 2px 0 10px;
        list-style: none;
      }

      .offline ul {
        filter: grayscale(1);
        opacity: 0.55;
      }

      details {
        padding: 0 16px 12px;
        color: var(--ink-soft);
        font-size: 0.85em;
      }

      summary {
        width: fit-content;
        cursor: pointer;
      }

      dl {
        margin: 6px 0 0;
      }

      dt {
        margin-top: 6px;
      }

      dd {
        margin: 0;
        color: var(--ink);
        font-family: var(--mono);
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }

      .controls {
        padding: 6px 0;
        border-top: 1px solid var(--line);
      }

      .none {
        padding: 2px 16px 18px;
        color: var(--ink-soft);
      }
    `,
  ];

  @property({ attribute: false }) device!: DeviceView;
  @property({ attribute: false }) sparks!: SparkHistory;
  /** Whether whoever looks may set what this device, by its name, has to set. */
  @property({ attribute: false }) mayCommand: (device: string) => boolean = () => false;

  protected override render(): TemplateResult {
    const { name, title, reader, availability, points } = this.device;
    return html`<article class=${availability.state} aria-label=${title}>
      <header>
        <h2 title=${name}>${title}</h2>
        <span class="reader">${reader === name ? nothing : reader}</span>
        ${this.#badge()}
      </header>
      ${availability.state === 'offline' ? this.#away() : this.#silent()}
      ${points.length === 0
        ? html`<p class="none">${text.devices.noPoints}</p>`
        : html`<ul>
            ${repeat(
              points,
              ({ point }) => point,
              (point) =>
                html`<li>
                  <fg-point .point=${point} .samples=${point.numeric ? this.sparks.get(point.topic) : []}></fg-point>
                </li>`,
            )}
          </ul>`}
      ${this.#controls()} ${this.#badFrames()}
    </article>`;
  }

  /** Who of an online device has been silent for too long, and how often it is heard otherwise. */
  #silent(): TemplateResult | typeof nothing {
    const { points, lastSeen } = this.device;
    const stale = points.filter((point) => point.stale);
    if (stale.length === 0) return nothing;
    if (lastSeen === null || stale.length < points.filter((point) => !point.event).length) {
      return html`<p class="silent">${text.devices.silentPoints(stale)}</p>`;
    }
    const interval = Math.max(...stale.map((point) => point.interval ?? 0));
    return html`<p class="silent">
      ${text.devices.lastHeard} <fg-age .time=${lastSeen}></fg-age>${interval > 0
        ? `, ${text.devices.usually(interval)}`
        : nothing}
    </p>`;
  }

  /** What may be set, while the device can be reached, by somebody who may. */
  #controls(): TemplateResult | typeof nothing {
    const { name, controls, availability } = this.device;
    if (controls.length === 0 || availability.state === 'offline' || !this.mayCommand(name)) return nothing;
    return html`<ul class="controls" aria-label=${text.controls.title}>
      ${repeat(
        controls,
        ({ point }) => point,
        (control) => html`<li><fg-control .control=${control}></fg-control></li>`,
      )}
    </ul>`;
  }

  #badFrames(): TemplateResult | typeof nothing {
    const { rejected, badFrames } = this.device;
    if (badFrames.length === 0) return nothing;
    return html`<details>
      <summary>${text.devices.badFrames(rejected)}</summary>
      <dl>
        ${badFrames.map(
          ({ time, why, content }) =>
            html`<dt>${moment(time, serverNow())} ${text.devices.badFrame(why)}</dt>
              <dd>${content}</dd>`,
        )}
      </dl>
    </details>`;
  }

  #badge(): TemplateResult {
    const { state } = this.device.availability;
    return html`<span class="state ${state}" title=${state === 'unknown' ? text.devices.unknownTitle : nothing}
      >${text.devices[state]}</span
    >`;
  }

  #away(): TemplateResult {
    const { availability, lastSeen } = this.device;
    return html`<p class="away">
      ${lastSeen === null
        ? text.devices.neverSeen
        : html`${text.devices.lastSeen} <fg-age .time=${lastSeen}></fg-age>, ${moment(lastSeen, serverNow())}`}
      ${availability.reason === '' ? nothing : html`<span class="reason">${availability.reason}</span>`}
    </p>`;
  }
}
