"""Fetches what the tests need from outside beside Go's modules: inside their own network nothing is reached.

python -m tests.cluster.fetch
"""

from mimamori.sandbox.java import find_java, kafka_classpath
from tests.deploy.toolbox import open_toolbox

if __name__ == "__main__":
    find_java()
    kafka_classpath(lambda _: None)
    open_toolbox()
