import { css, html, LitElement, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { DeviceView } from '../devices';
import type { SparkHistory } from '../series';
import { text } from '../strings';
import { shared } from './styles';
import './device-card';

/** Cards of any height lie close together on rows this fine. */
const ROW_PX = 4;
const GAP_PX = 16;

/** All devices, as many side by side as there is room for, each as high as it needs. */
@customElement('fg-devices')
export class DeviceGrid extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }

      .heading {
        display: flex;
        align-items: baseline;
        gap: 12px;
        margin-bottom: 14px;
      }

      h1 {
        font-size: 1.35rem;
        letter-spacing: -0.015em;
      }

      .heading p {
        color: var(--ink-faint);
      }

      .grid {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr));
        grid-auto-rows: ${ROW_PX}px;
        align-items: start;
        column-gap: var(--gap);
      }
    `,
  ];

  @property({ attribute: false }) devices: readonly DeviceView[] = [];
  @property({ attribute: false }) sparks!: SparkHistory;
  @property({ attribute: false }) mayCommand: (device: string) => boolean = () => false;

  readonly #resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const rows = Math.ceil((target.getBoundingClientRect().height + GAP_PX) / ROW_PX);
      (target as HTMLElement).style.gridRowEnd = `span ${rows}`;
    }
  });
  readonly #observed = new WeakSet<Element>();

  override disconnectedCallback(): void {
    this.#resized.disconnect();
    super.disconnectedCallback();
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (!changed.has('devices')) return;
    for (const card of this.renderRoot.querySelectorAll('fg-device')) {
      if (this.#observed.has(card)) continue;
      this.#observed.add(card);
      this.#resized.observe(card);
    }
  }

  protected override render(): TemplateResult {
    const online = this.devices.filter(({ availability }) => availability.state === 'online').length;
    return html`<div class="heading">
        <h1>${text.devices.title}</h1>
        <p>${text.devices.summary(online, this.devices.length)}</p>
      </div>
      <div class="grid">
        ${repeat(
          this.devices,
          ({ name }) => name,
          (device) => html`<fg-device .device=${device} .sparks=${this.sparks} .mayCommand=${this.mayCommand}></fg-device>`,
        )}
      </div>`;
  }
}
