"""Webhooks: tells another system of cases that are open, and of those past their deadline. Never a text.

watch      what is to be told, from the queue (pure)
notice     one notice: its id and body
attempts   when a notice is tried again, and when it is given up (pure)
signature  how a receiver knows that a notice is ours (Standard Webhooks)
post       one attempt over HTTP
ledger     the topic that remembers what was told, or given up, so that a restart repeats nothing
teller     all of it, beside the desk
"""
