import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { type Command, isOver, type Receipt } from '../command';
import type { ControlView } from '../devices';
import { text } from '../strings';
import { shared } from './styles';

/** How long a control says that all went well. */
const GLAD_MS = 3_000;

/**
 * What a writable point can be set to. It always shows what the hardware says, never the wish; beside
 * it how far the wish has come. A wish is the event `command`.
 */
@customElement('fg-control')
export class PointControl extends LitElement {
  static override styles = [
    shared,
    css`
      .row {
        display: grid;
        grid-template-columns: minmax(0, 1fr) auto;
        align-items: center;
        gap: 4px 10px;
        min-height: 2.4rem;
        padding: 3px 16px;
      }

      .name {
        overflow: hidden;
        color: var(--ink-soft);
        text-overflow: ellipsis;
        white-space: nowrap;
      }

      .means {
        display: flex;
        align-items: center;
        gap: 8px;
      }

      input,
      select {
        min-height: 34px;
        max-width: 9rem;
        padding: 2px 8px;
        border: 1px solid var(--line-strong);
        border-radius: var(--radius-small);
        background: var(--surface);
        color: var(--ink);
        font: inherit;
      }

      input[type='range'] {
        padding: 0;
        accent-color: var(--accent);
      }

      input[type='number'] {
        width: 6rem;
        text-align: right;
      }

      .switch {
        width: 44px;
        height: 24px;
        padding: 2px;
        border: 1px solid var(--line-strong);
        border-radius: 99px;
        background: var(--surface-sunk);
      }

      .switch::before {
        display: block;
        width: 18px;
        height: 18px;
        border-radius: 50%;
        background: var(--ink-faint);
        content: '';
        transition: transform 120ms;
      }

      .switch[aria-checked='true'] {
        border-color: var(--accent);
        background: var(--accent);
      }

      .switch[aria-checked='true']::before {
        background: var(--surface);
        transform: translateX(20px);
      }

      .receipt {
        grid-column: 1 / -1;
        color: var(--ink-soft);
        font-size: 0.85em;
        text-align: right;
      }

      .receipt.bad {
        color: var(--bad);
      }
    `,
  ];

  @property({ attribute: false }) control!: ControlView;
  @state() private receipt: Receipt | null = null;
  #glad: ReturnType<typeof setTimeout> | undefined;

  override disconnectedCallback(): void {
    clearTimeout(this.#glad);
    super.disconnectedCallback();
  }

  protected override render(): TemplateResult {
    return html`<div class="row">
      <span class="name" id="name">${this.control.name}</span>
      <span class="means">${this.#means()}</span>
      ${this.#progress()}
    </div>`;
  }

  #means(): TemplateResult {
    const { kind, value, options, min, max, step, unit } = this.control;
    switch (kind) {
      case 'boolean': {
        const isOn = value === 'true';
        return html`<button
          class="switch"
          role="switch"
          aria-checked=${value === '' ? 'mixed' : String(isOn)}
          aria-labelledby="name"
          @click=${() => {
            this.#wish(!isOn);
          }}
        ></button>`;
      }
      case 'enum':
        return html`<select aria-labelledby="name" .value=${value} @change=${this.#chosen}>
          ${options.includes(value) ? nothing : html`<option value=${value} selected disabled>${value || '–'}</option>`}
          ${options.map((option) => html`<option value=${option} ?selected=${option === value}>${option}</option>`)}
        </select>`;
      case 'button':
        return html`<button
          class="button"
          aria-labelledby="name"
          @click=${() => {
            this.#wish('press');
          }}
        >
          ${text.controls.press}
        </button>`;
      case 'number':
        return html`${min !== null && max !== null
            ? html`<input
                type="range"
                aria-labelledby="name"
                min=${min}
                max=${max}
                step=${step ?? (max - min) / 100}
                .value=${value}
                @change=${this.#number}
              />`
            : nothing}
          <input
            type="number"
            aria-labelledby="name"
            min=${min ?? nothing}
            max=${max ?? nothing}
            step=${step ?? 'any'}
            .value=${value}
            @change=${this.#number}
          />${unit}`;
      default:
        return html`<input type="text" aria-labelledby="name" .value=${value} @change=${this.#words} />`;
    }
  }

  #progress(): TemplateResult | typeof nothing {
    if (this.receipt === null) return nothing;
    const { stage, error } = this.receipt;
    const isBad = stage === 'timeout' || stage === 'refused';
    const words = error === '' ? text.controls.stage[stage] : `${text.controls.stage[stage]}: ${error}`;
    return html`<span class="receipt ${isBad ? 'bad' : ''}" role="status">${words}</span>`;
  }

  readonly #chosen = (event: Event): void => {
    const select = event.target as HTMLSelectElement;
    this.#wish(select.value);
    select.value = this.control.value;
  };

  readonly #number = (event: Event): void => {
    const input = event.target as HTMLInputElement;
    if (Number.isFinite(input.valueAsNumber)) this.#wish(input.valueAsNumber);
    input.value = this.control.value;
  };

  readonly #words = (event: Event): void => {
    const input = event.target as HTMLInputElement;
    this.#wish(input.value);
    input.value = this.control.value;
  };

  #wish(value: string | number | boolean): void {
    clearTimeout(this.#glad);
    const { device, point, confirms } = this.control;
    const detail: Command = {
      device,
      point,
      value,
      confirms,
      told: (receipt) => {
        this.receipt = receipt;
        clearTimeout(this.#glad);
        if (isOver(receipt, confirms) && receipt.error === '') {
          this.#glad = setTimeout(() => {
            this.receipt = null;
          }, GLAD_MS);
        }
      },
    };
    this.dispatchEvent(new CustomEvent<Command>('command', { detail, bubbles: true, composed: true }));
  }
}
