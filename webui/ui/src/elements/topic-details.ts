import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { asNumber, fromBase64, hexDump, moment, prettyJson } from '../format';
import { serverNow } from '../now';
import { routeHash } from '../route';
import type { TopicValue } from '../store';
import { text } from '../strings';
import { shared } from './styles';
import './live-age';

/** More of a payload than this nobody reads, and the browser takes long to lay out. */
const SHOWN_CHARACTERS = 100_000;
const SHOWN_BYTES = 4_096;

/** One topic in full: its payload, when it came, what the broker does with it. */
@customElement('fg-topic')
export class TopicDetails extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
        padding: 14px 16px;
      }

      .top {
        display: flex;
        align-items: flex-start;
        gap: 8px;
      }

      h2 {
        flex: 1;
        padding-top: 3px;
        font: 600 1rem/1.4 var(--mono);
        overflow-wrap: anywhere;
      }

      .facts {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 4px 10px;
        margin: 8px 0 12px;
        color: var(--ink-soft);
        font-size: 0.9em;
      }

      .doing {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
        margin-bottom: 12px;
      }

      pre {
        flex: 0 1 auto;
        min-height: 3.2em;
        padding: 12px 14px;
        overflow: auto;
        border: 1px solid var(--line);
        border-radius: var(--radius-small);
        background: var(--surface-sunk);
        font: 0.92em/1.55 var(--mono);
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }

      pre.hex {
        white-space: pre;
      }

      .note {
        margin-bottom: 6px;
        color: var(--ink-soft);
        font-size: 0.9em;
      }

      .close {
        min-width: 34px;
        justify-content: center;
      }
    `,
  ];

  @property({ attribute: false }) topic = '';
  @property({ attribute: false }) value: TopicValue | undefined;
  @state() private copied: string | null = null;

  protected override render(): TemplateResult {
    const { topic, value } = this;
    return html`<div class="top">
        <h2>${topic}</h2>
        <a class="button close" href=${routeHash('topics')} aria-label=${text.topics.close} title=${text.topics.close}>✕</a>
      </div>
      ${value === undefined ? nothing : this.#facts(value)}
      <div class="doing">
        <button class="button" @click=${this.#copy}>${this.copied ?? text.topics.copy}</button>
        ${value !== undefined && asNumber(value.payload) !== null
          ? html`<a class="button" href=${routeHash('chart', topic)}>${text.topics.chart}</a>`
          : nothing}
      </div>
      ${value === undefined ? html`<p class="note">${text.topics.gone}</p>` : this.#payload(value)}`;
  }

  #facts(value: TopicValue): TemplateResult {
    return html`<p class="facts">
      <span>${moment(value.time, serverNow())}</span>
      <fg-age .time=${value.time}></fg-age>
      ${value.retain
        ? html`<span class="tag" title=${text.topics.retainedTitle}>${text.topics.retained}</span>`
        : nothing}
      ${value.last
        ? html`<span class="tag" title=${text.topics.lastValueTitle}>${text.topics.lastValue}</span>`
        : nothing}
    </p>`;
  }

  #payload(value: TopicValue): TemplateResult {
    if (value.omitted) return html`<p class="note">${text.topics.omitted}</p>`;
    if (value.payload === '') return html`<p class="note">${text.topics.empty}</p>`;
    if (value.base64) {
      const bytes = fromBase64(value.payload);
      return html`<p class="note">${text.topics.binary(text.size(bytes.length))}</p>
        <pre class="hex" tabindex="0" aria-label=${text.topics.payload}>${hexDump(bytes.subarray(0, SHOWN_BYTES))}</pre>`;
    }
    const whole = value.payload.length;
    const shown = value.payload.slice(0, SHOWN_CHARACTERS);
    const cut = whole > SHOWN_CHARACTERS;
    return html`${cut ? html`<p class="note">${text.topics.cut(SHOWN_CHARACTERS, whole)}</p>` : nothing}
      <pre tabindex="0" aria-label=${text.topics.payload}>${(cut ? null : prettyJson(shown)) ?? shown}</pre>`;
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has('topic')) this.copied = null;
  }

  readonly #copy = async (): Promise<void> => {
    this.copied = (await copyText(this.topic)) ? text.topics.copied : text.topics.copyFailed;
  };
}

/** Browsers give the clipboard to https and localhost only; elsewhere the old way must do. */
async function copyText(words: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    const box = document.createElement('textarea');
    box.value = words;
    box.className = 'copy-box';
    document.body.append(box);
    box.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only way over plain http
    const done = document.execCommand('copy');
    box.remove();
    return done;
  }
}
