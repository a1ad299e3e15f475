// A cluster on a RabbitMQ of the test's own, beside Python nodes. In a file by itself: RabbitMQ takes its time to start.
import { startRabbit } from "../support/brokers.mjs";
import { cluster } from "../support/clusters.mjs";

cluster("RabbitMQ, beside Python nodes", startRabbit, ["ours on amqp python", "ours on amqp python", "py aio_pika", "py kombu"], {
  dialect: "python",
});
