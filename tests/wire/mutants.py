"""Deliberate mistakes in protocol, spool model and store model, each a `Design` with one decision
wrong. `test_mutants.py` holds that every one is caught."""

from gateway.wire.sender import Sender
from tests.wire.model import Design, Key


class AckBeforeCommit(Design):
    """The centre acks what it has received; then it crashes before its COMMIT."""

    ack_on_receipt = True


class CumulativeAck(Design):
    """The centre acks everything up to the highest seq, though live overtakes the backlog."""

    cumulative_ack = True


class DeleteOnSend(Design):
    """The spool forgets a record when it is sent instead of when it is acked."""

    delete_on_send = True


class HaveIgnored(Design):
    """What `Welcome` has is not sent again, but raises no `Acked` either."""

    have_is_acked = False

    class sender(Sender):
        def events_received(self):  # type: ignore[no-untyped-def]
            events = super().events_received()
            opened = [e for e in events if type(e).__name__ == "Opened"]
            if not opened:
                return events
            count = sum(1 for have in opened[0].welcome.have if have.intervals)
            index = events.index(opened[0])
            return events[: index + 1] + events[index + 1 + count :]


class EpochReused(Design):
    """A restarted agent goes on with the epoch it finds on its card."""

    reuses_epoch = True


class DedupeBySeqOnly(Design):
    """The store's key leaves out the epoch."""

    def store_key(self, epoch: int, seq: int) -> Key:
        return (0, seq)


class OnlyCurrentEpochListed(Design):
    """`Hello` lists the current epoch only, so what older ones hold is never asked for."""

    lists_old_epochs = False


class SchemaOncePerEpoch(Design):
    """The schema is announced in the first session of an epoch only."""

    announces_each_session = False


class AckNamesCurrentEpoch(Design):
    """Every ack names the agent's current epoch, also for records of an older one."""

    acks_name_their_epoch = False


class HaveBeforeCommit(Design):
    """The centre notes the seqs it has outside the transaction that stores the records."""

    commits_have_with_data = False


class RekeyedRecords(Design):
    """A restarted agent gives the records on its card new seqs in its new epoch."""

    rekeys_old_records = True


class TailForgotten(Design):
    """The centre takes an epoch without END for a complete one."""

    sees_lost_tails = False


MUTANTS = (
    AckBeforeCommit,
    CumulativeAck,
    DeleteOnSend,
    HaveIgnored,
    EpochReused,
    DedupeBySeqOnly,
    OnlyCurrentEpochListed,
    SchemaOncePerEpoch,
    AckNamesCurrentEpoch,
    HaveBeforeCommit,
    RekeyedRecords,
    TailForgotten,
)
