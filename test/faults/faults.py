"""Faults in python3-confluent-kafka and kcat consumers: faults.py BROKERS SERVER BINARY"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

brokers, server, binary = sys.argv[1:4]
here = Path(__file__).parent
PARTITIONS = 6
done = threading.Event()


class Member:
    """One consumer process, started anew on demand."""

    def __init__(self, command):
        self.command = command
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, text=True, bufsize=1)

    def set(self, **behaviour):
        self.process.stdin.write(json.dumps(behaviour) + "\n")

    def ended(self):
        return self.process.poll() is not None

    def kill(self):
        self.process.kill()
        self.process.wait()


def confluent(group, i, **consumer):
    settings = {"bootstrap.servers": brokers, "group.id": group, "client.id": f"{group}-{i}", "session.timeout.ms": 8000,
                "heartbeat.interval.ms": 2000, **consumer}
    return Member(["/usr/bin/python3", str(here / "worker.py"), json.dumps({"consumer": settings, "topic": group})])


def kcat(group, i):
    return Member(["kcat", "-b", brokers, "-q", "-u", "-X", f"client.id={group}-{i}", "-X", "session.timeout.ms=8000",
                   "-X", "heartbeat.interval.ms=2000", "-X", "auto.commit.interval.ms=1000",
                   "-X", "auto.offset.reset=earliest", "-G", group, group])


def poll_overrun(members):
    members[0].set(record_seconds=9)


def crash_loop(members):
    while not done.is_set():
        members[0].kill()
        done.wait(2)
        members[0].start()
        done.wait(6)


def pause(members):
    while not done.is_set():
        members[0].process.send_signal(19)  # SIGSTOP
        done.wait(14)
        members[0].process.send_signal(18)  # SIGCONT
        done.wait(15)


def fence(members):
    members.append(Member(members[0].command))
    while not done.wait(1):
        for m in (members[0], members[-1]):
            if m.ended():
                done.wait(3)
                m.start()


def stop_committing(members):
    for m in members:
        m.set(commit=False)


def stop_all(members):
    for m in members:
        m.process.terminate()


# What is injected, into which members, what must be said, and how long after the injection: the mechanism's floor and
# a minute (diagnosis-decisions.md 25), and as much again for a busy machine.
FAULTS = {
    "max_poll_interval_exceeded": (poll_overrun, lambda g, i: confluent(g, i, **{"max.poll.interval.ms": 8000}), 170),
    "crash_looping_member": (crash_loop, kcat, 200),
    "consumer_gc_or_cpu_starved": (pause, kcat, 150),
    "static_member_fencing": (fence, lambda g, i: confluent(g, i, **{"group.instance.id": f"{g}-{i}"}), 140),
    "commits_missing": (stop_committing, confluent, 240),
    "no_active_consumers": (stop_all, kcat, 180),
    None: (lambda members: None, confluent, 0),
}


def produce(topics):
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20})
    n = 0
    while not done.wait(0.1):
        for topic in topics:
            for _ in range(5):
                producer.produce(topic, b"x" * 200, partition=n % PARTITIONS)
                n += 1
        producer.poll(0)


def first_finding(group):
    """The first finding told of a group: what `diagnose` names first, or nothing."""
    out = subprocess.run([binary, "diagnose", "--server", server, "--group", group, "-o", "json"], capture_output=True, text=True)
    if out.returncode not in (0, 1):
        return None
    for report in json.loads(out.stdout)["reports"]:
        for f in report["findings"]:
            if f["entity"]["kind"] == "group" and f["verdict"] != "benign":
                return f
    return None


def names(finding, cause):
    """Whether a finding names a cause: itself, or in a set of causes that cannot be told apart."""
    return finding is not None and cause in [finding["cause"], *(finding.get("causes") or [])]


def main():
    groups = {cause: f"{cause or 'healthy'}".replace("_", "-") for cause in FAULTS}
    admin = AdminClient({"bootstrap.servers": brokers})
    for f in admin.create_topics([NewTopic(g, num_partitions=PARTITIONS, replication_factor=1) for g in groups.values()]).values():
        f.result(30)
    members = {cause: [FAULTS[cause][1](g, i) for i in range(2)] for cause, g in groups.items()}
    threading.Thread(target=produce, args=(list(groups.values()),), daemon=True).start()
    try:
        return judge(groups, members)
    finally:
        done.set()
        for m in [m for list_ in members.values() for m in list_]:
            m.kill()
        time.sleep(0.5)  # the injectors end: none starts a member anew
        for m in [m for list_ in members.values() for m in list_]:
            m.kill()


def judge(groups, members):
    time.sleep(45)  # healthy traffic: what is usual must be known
    began = time.time()
    for cause, (inject, _, _) in FAULTS.items():
        threading.Thread(target=inject, args=(members[cause],), daemon=True).start()
    open_, failed, alarms = {c for c in FAULTS if c}, [], set()
    while open_:
        time.sleep(2)
        waited = time.time() - began
        for cause in sorted(open_):
            finding = first_finding(groups[cause])
            if names(finding, cause):
                print(f"ok    {cause} named after {waited:.0f} s ({finding['verdict']}, {100 * finding['confidence']:.0f} %)", flush=True)
                open_.discard(cause)
            elif waited > FAULTS[cause][2]:
                print(f"FAIL  {cause} not named after {waited:.0f} s: {finding['cause'] if finding else 'nothing'}", flush=True)
                failed.append(cause)
                open_.discard(cause)
        if alarm := first_finding(groups[None]):
            alarms.add(alarm["cause"])
    if alarms:
        print(f"FAIL  the healthy group was accused of {', '.join(sorted(alarms))}")
        failed.append("healthy")
    return 1 if failed else 0


sys.exit(main())
