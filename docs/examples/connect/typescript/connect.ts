// Sends messages to Mimamori, and reads what comes back. Node 22.18 or newer runs it as it is.
//
//   node connect.ts send < messages.jsonl     one message a line: {"id": …, "text": …}
//   node connect.ts read                      until Ctrl-C or SIGTERM

import { createInterface } from 'node:readline'
import kafkajs from 'kafkajs'
import { compressFrame, decompressFrame } from 'lz4-napi'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel, Partitioners } = kafkajs
// Mimamori's workers write in LZ4, which kafkajs cannot read by itself.
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: ({ buffer }: { buffer: Buffer }) => compressFrame(buffer),
  decompress: (buffer: Buffer) => decompressFrame(buffer)
})

const brokers = (process.env.KAFKA_BOOTSTRAP ?? 'localhost:9092').split(',')
const prefix = process.env.TOPIC_PREFIX ?? 'mimamori.'
const groupId = process.env.KAFKA_GROUP ?? 'platform'
const kafka = new Kafka({ clientId: 'platform', brokers, logLevel: logLevel.ERROR })

// Of each event, the fields that this program uses. There are more, and there will be more: pass over them.
interface Message {
  id: string
  conversation_id?: string | null
}

interface Label {
  id: string
  message_id: string
  verdict: 'clear' | 'at_risk' | 'uncertain'
}

interface Origin {
  topic: string
  partition: number
  offset: number
}

interface DeadLetter {
  id: string
  origin: Origin
  reason: string
}

interface ReviewDecision {
  id: string
  message_id: string
  finding: 'at_risk' | 'not_at_risk' | 'unsure'
  severity: string | null // a level of the task, where the finding is at_risk
}

/** Send each line as a message. It throws if Kafka has not taken all of them. */
async function send(): Promise<void> {
  // The default partitioner goes from a key to a partition as Java's clients do. Name it, so that nobody takes the
  // legacy one: a conversation's messages from two programs would stand in two partitions, their labels in no order.
  const createPartitioner = Partitioners.DefaultPartitioner
  const producer = kafka.producer({ idempotent: true, createPartitioner })
  await producer.connect()
  let messages: { key: string; value: string }[] = []
  const flush = async (): Promise<void> => {
    if (messages.length > 0) await producer.send({ topic: `${prefix}messages`, messages })
    messages = []
  }
  for await (const value of createInterface({ input: process.stdin })) {
    const { id, conversation_id } = JSON.parse(value) as Message
    messages.push({ key: conversation_id ?? id, value })
    if (messages.length === 500) await flush()
  }
  await flush()
  await producer.disconnect()
}

/** Call on… for each event, once for each id as long as this process lives. */
async function read(): Promise<void> {
  const on: Record<string, (value: string) => void> = {
    [`${prefix}labels`]: value => once(JSON.parse(value) as Label, onLabel),
    [`${prefix}dead-letters`]: value => once(JSON.parse(value) as DeadLetter, onDeadLetter),
    [`${prefix}review-decisions`]: value => once(JSON.parse(value) as ReviewDecision, onDecision)
  }
  // Where this is true, you read outcomes that were taken back.
  const consumer = kafka.consumer({ groupId, readUncommitted: false })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) process.exit(1) // otherwise it would live on, and read nothing
  })
  await consumer.connect()
  await consumer.subscribe({ topics: Object.keys(on), fromBeginning: true })
  for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => void consumer.disconnect())
  await consumer.run({
    // An event counts as read when this has returned, not before.
    eachMessage: async ({ topic, message }) => {
      if (message.value !== null) on[topic]?.(message.value.toString())
    }
  })
}

const seen = new Set<string>() // better: a unique key in your database, in the transaction of what you do

function once<Event extends { id: string }>(event: Event, act: (event: Event) => void): void {
  if (seen.has(event.id)) return
  act(event)
  seen.add(event.id)
}

function onLabel(label: Label): void {
  console.log(`label ${label.message_id} ${label.verdict}`)
}

function onDeadLetter({ origin, reason }: DeadLetter): void {
  console.log(`dead-letter ${origin.partition}:${origin.offset} ${reason}`)
}

function onDecision({ message_id, finding, severity }: ReviewDecision): void {
  console.log(`decision ${message_id} ${finding} ${severity ?? '-'}`)
}

switch (process.argv[2]) {
  case 'send':
    await send()
    break
  case 'read':
    await read()
    break
  default:
    process.exitCode = 2
}
