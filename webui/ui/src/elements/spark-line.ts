import { css, html, LitElement, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { type Sample, sparkPath } from '../series';

const WIDTH = 96;
const HEIGHT = 22;

/** A little line without axes: the shape of the last minute. */
@customElement('fg-spark')
export class SparkLine extends LitElement {
  static override styles = css`
    :host {
      display: block;
      height: 1.6rem;
    }

    svg {
      display: block;
      width: 100%;
      height: 100%;
      overflow: visible;
    }

    .line {
      fill: none;
      stroke: var(--accent);
      stroke-width: 1.5;
      stroke-linejoin: round;
      stroke-linecap: round;
      vector-effect: non-scaling-stroke;
    }

    .area {
      fill: var(--accent);
      opacity: 0.1;
    }
  `;

  @property({ attribute: false }) samples: readonly Sample[] = [];

  protected override render(): TemplateResult | null {
    const line = sparkPath(this.samples, WIDTH, HEIGHT);
    if (line === '') return null;
    return html`<svg viewBox="0 -1 ${WIDTH} ${HEIGHT + 2}" preserveAspectRatio="none" aria-hidden="true">
      <path class="area" d="${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z"></path>
      <path class="line" d=${line}></path>
    </svg>`;
  }
}
