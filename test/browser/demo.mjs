// The demo as a person runs it: on a terminal, where it keeps its dashboard until Ctrl-C.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const ctrlC = '\x03';

// startDemo returns once the demo has said where its dashboard is. `script` lends it a terminal.
export async function startDemo(binary, drill, seed) {
  const command = `echo "pid $$"; exec ${binary} demo --seed ${seed} ${drill}`;
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, SHELL: '/bin/sh', NO_COLOR: '1' } });
  const demo = { output: '', address: '', stop: () => stop(child, demo) };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => demo.stop().finally(() => process.exit(1)));
  const ended = once(child, 'exit');
  const ready = new Promise((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text) => {
      demo.output += text;
      demo.address = /dashboard: (http:\/\/[^\s]+)/.exec(demo.output)?.[1] ?? '';
      if (demo.address) resolve();
    });
  });
  await Promise.race([ready, ended.then(() => Promise.reject(new Error(`the demo did not start:\n${demo.output}`)))]);
  return demo;
}

// stop presses Ctrl-C and gives the exit code; a demo that does not end in time is killed, and that is an error.
async function stop(child, demo) {
  if (child.exitCode !== null) return child.exitCode;
  const ended = once(child, 'exit');
  let killed = false;
  child.stdin.write(ctrlC);
  const timer = setTimeout(() => {
    killed = true;
    process.kill(Number(/pid (\d+)/.exec(demo.output)[1]), 'SIGKILL'); // its brokers and workers end with it
  }, 15_000);
  const [code] = await ended;
  clearTimeout(timer);
  if (killed) throw new Error('the demo did not end within 15 s of Ctrl-C');
  return code;
}
