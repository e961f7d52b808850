// A component that is drawn again only when one of its properties, or a signal that it reads, is another one.
import { Component, createElement, type FunctionComponent, type VNode } from "preact";

export function memo<Props extends object>(draw: FunctionComponent<Props>): (props: Props) => VNode {
  class Memo extends Component<Props> {
    override shouldComponentUpdate(next: Readonly<Props>): boolean {
      for (const name in next) if (next[name] !== this.props[name]) return true;
      for (const name in this.props) if (!(name in next)) return true;
      return false;
    }

    override render(): VNode {
      return createElement(draw, this.props as Props) as VNode;
    }
  }
  return Memo as unknown as (props: Props) => VNode;
}
