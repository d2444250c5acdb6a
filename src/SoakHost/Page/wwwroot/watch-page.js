/** The page of a service that watches the VMs of its host and soaks nothing. */

import { setText } from './dom.js';
import { WatchSection } from './watch.js';

const alarm = /** @type {HTMLElement} */ (document.getElementById('alarm'));
const section = /** @type {HTMLElement} */ (document.getElementById('watch'));

new WatchSection(section, (text, count) => {
  alarm.hidden = text === '';
  setText(alarm, text);
  document.title = `${count > 0 ? `${count} hung · ` : ''}SoakHost watch`;
}).setLive(true);
