// watch.mjs BINARY: opens the dashboard on a healthy workload, lets a fault happen and checks what a person sees.
import assert from 'node:assert';
import { chromium } from 'playwright-core';
import { startDemo } from './demo.mjs';
import { readers } from './readers.mjs';

const cause = 'max_poll_interval_exceeded';
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const soon = { timeout: 20_000 };
const finding = `article.finding[data-cause="${cause}"]`;

let passed = 0;
let failed = 0;
const began = Date.now();

// step is one promise of the dashboard; those that follow still run when it is broken.
async function step(name, check) {
  try {
    await check();
    passed++;
    console.log(`ok    ${name} (${Math.round((Date.now() - began) / 1000)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n${error.message}`);
  }
}

const demo = await startDemo(process.argv[2], cause, 2);
let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  const see = (selector) => page.waitForSelector(selector, soon);
  const text = async (selector) => (await see(selector)).innerText();

  await step('before the fault the page is healthy and live', async () => {
    const answer = await page.goto(`${demo.address}/#/?minutes=5`, soon);
    assert.match(answer.headers()['content-security-policy'], /default-src 'self'/);
    await see('.health.healthy');
    await see('.status.live');
    assert.equal(await page.locator('article.finding').count(), 0);
    assert.match(await text('.sources'), /diagnoser\s+ticks every 5 s\s+on time/);
    await see('.chart canvas');
    assert.doesNotMatch(demo.output, /fault:/, 'the page was opened too late');
  });

  await step('the finding appears without a reload', async () => {
    await page.evaluate(() => (window.notReloaded = true));
    await page.waitForSelector(finding, { timeout: 150_000 });
    assert.equal(await page.evaluate(() => window.notReloaded), true);
    await page.waitForFunction((c) => document.title.startsWith(c), cause, soon);
  });

  await step('it becomes the root cause, with what speaks for it and what was ruled out', async () => {
    await page.waitForSelector(`${finding}.root_cause`, { timeout: 60_000 });
    await see(`${finding} .evidence .supports`);
    assert.ok((await page.locator(`${finding} .evidence .supports`).count()) >= 2);
    assert.match(await text(`${finding} .evidence`), /RULED OUT\s+−/i);
    assert.doesNotMatch(await text(finding), /undefined|NaN|\{\{|\[object/);
  });

  await step('it says what to do and that scaling will not help', async () => {
    assert.match(await text(`${finding} .advice ol li`), /max\.poll\./);
    assert.match(await text(`${finding} .advice .scale`), /Scaling will not help/);
  });

  await step('its charts are drawn, with the values in words', async () => {
    await page.waitForFunction(allDrawn, `${finding} .chart`, soon);
    assert.match(await text(`${finding} .legend li`), /orders\s+[\d.]+/);
  });

  if (process.env.SCREENSHOT) {
    await page.screenshot({ path: 'docs/dashboard.png', clip: { x: 0, y: 0, width: 1280, height: await lowerEdge(page) }, fullPage: true });
  }

  await step('the incident has a page of its own', async () => {
    await page.click('nav >> text=Incidents');
    assert.match(await text('.incidents li'), new RegExp(cause));
    await page.click('.incidents li a');
    await see(`${finding} .chart canvas`);
    assert.match(await text('main'), /opened \d\d:\d\d:\d\d UTC/);
  });

  await step('the rules can be searched', async () => {
    await page.click('nav >> text=Rules');
    await see('.rules li');
    assert.ok((await page.locator('.rules li').count()) > 50);
    await page.fill('input[type=search]', cause);
    await page.waitForFunction((c) => [...document.querySelectorAll('.rules code')].some((e) => e.textContent === c) && document.querySelectorAll('.rules li').length < 20, cause, soon);
    assert.doesNotMatch(await text('main'), /\{\{/);
  });

  await step('a phone shows every page without scrolling sideways', async () => {
    await page.setViewportSize({ width: 360, height: 800 });
    for (const [hash, selector] of [['#/', finding], ['#/incidents', '.incidents li'], ['#/rules', '.rules li']]) {
      await page.goto(`${demo.address}/${hash}`);
      await see(selector);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, hash);
    }
  });

  await step('50 readers of the stream get the same ticks', () => readers(`${demo.address}/api/v1/stream`, 50));

  await step('the page and its console have no complaints', () => assert.deepEqual(complaints, []));

  await step('when the server is gone the page says so, and Ctrl-C has ended the demo', async () => {
    await page.goto(`${demo.address}/#/`);
    await see('.status.live');
    assert.equal(await demo.stop(), 0);
    assert.match(await text('.banner'), /does not answer.*ago/);
    await see('.status.cut');
    await assert.rejects(fetch(`${demo.address}/-/healthy`));
  });
} finally {
  await browser?.close();
  await demo.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

// allDrawn runs in the page: three charts, each with ink on its canvas.
function allDrawn(selector) {
  const inked = (canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v !== 0);
  const charts = [...document.querySelectorAll(selector)];
  return charts.length === 3 && charts.every((c) => [...c.querySelectorAll('canvas')].some(inked));
}

// lowerEdge is where the finding ends, in CSS pixels.
async function lowerEdge(page) {
  const box = await page.locator(finding).boundingBox();
  return Math.ceil(box.y + box.height + 8);
}
