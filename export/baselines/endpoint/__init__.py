"""A large model behind an OpenAI-compatible endpoint, asked the task's own question. Texts leave the machine.

address.py    where texts go, the consent that names the host, the key
question.py   a task, examples and a text become the body of a request
answer.py     a reply becomes a risk, or no answer
cost.py       tokens and money, before and after
pace.py       how many requests and tokens a minute
line.py       one request: what may fail, and what is tried again
way.py        all of it as a way of screening
"""
