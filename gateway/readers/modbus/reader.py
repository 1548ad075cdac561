"""One Modbus device: asked at its cadence, left alone for a while when it is silent."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from gateway.errors import ReaderError
from gateway.measurement import Measurement, Value
from gateway.readers.modbus.block import Block, blocks
from gateway.readers.modbus.bus import Bus, RefusalError, SilenceError
from gateway.readers.modbus.config import ModbusConfig
from gateway.readers.modbus.register import BIT_TABLES, RegisterConfig
from gateway.readers.reader import READ_TIMEOUT_S, Clock, Content, wall_clock_ms

LOG = logging.getLogger(__name__)

SILENT_SHARE = 0.1
"""Most of a shared bus's time that a device may take which doesn't answer."""

LONGEST_REST_S = 60.0
"""And how long it is left alone at most, so that it is found when it comes back."""

ILLEGAL_DATA_ADDRESS = 2

REFUSALS = {
    1: "illegal_function",
    2: "illegal_data_address",
    3: "illegal_data_value",
    4: "device_failure",
    6: "device_busy",
    10: "gateway_path_unavailable",
    11: "gateway_target_silent",
}
"""Names of exception codes (Modbus Application Protocol V1.1b3, 7)."""

READS: dict[str, type[ModbusPDU]] = {
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
}


class ModbusReader:
    """Reads all registers every `every_s`, neighbours together; a reading is one measurement.

    A device that refuses some of them keeps the others; one that refuses a whole block because of
    what lies between its points is asked for each point alone from then on. Silence takes the
    device offline; the longer it lasts, the more seldom the bus's time is spent on it.
    """

    def __init__(
        self,
        config: ModbusConfig,
        bus: Bus,
        *,
        clock: Clock = wall_clock_ms,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = f"{config.port} unit {config.unit}"
        self._config = config
        self._bus = bus
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._blocks: list[Block] = []
        self._has_joined = False
        self._due_s = 0.0
        self._rests = _Rests(2 * config.timeout_s)
        self._refused: Counter[str] = Counter()
        self._told: set[tuple[str, int]] = set()

    @property
    def rejected(self) -> Mapping[str, int]:
        return dict(self._refused)

    def open(self) -> None:
        self._rests.check(self._monotonic())
        self.close()
        self._bus.join()
        self._has_joined = True
        self._blocks = blocks(self._config.registers, self._config.max_gap)
        self._told.clear()
        try:
            self._read_block(self._blocks[0])  # who doesn't answer isn't there
        except RefusalError:
            pass
        except ReaderError:
            self.close()
            raise
        self._due_s = self._monotonic()

    def read(self) -> Sequence[Measurement]:
        wait_s = self._due_s - self._monotonic()
        if wait_s > 0:
            self._sleep(min(wait_s, READ_TIMEOUT_S))
        if self._monotonic() < self._due_s:
            return ()
        # On a grid, so that the cadence doesn't drift; one that can't be kept begins anew.
        self._due_s = max(self._due_s + self._config.every_s, self._monotonic())
        fields = self._fields()
        return (Measurement(self._clock(), fields),) if fields else ()

    def close(self) -> None:
        if self._has_joined:
            self._has_joined = False
            self._bus.leave()

    def write(self, point: str, value: Content) -> None:
        """Set one register or coil; a field of bits leaves the other bits as they are.

        Raises ReaderError where the device is silent or says no, ValueError for a value that
        doesn't fit, KeyError for a point that has no register.
        """
        register = self._config.registers[point]
        if isinstance(value, bytes):
            raise ValueError(f"{self._name} takes values, not bytes")
        if not register.is_writable:
            raise ValueError(f"{point} lies in the table {register.table}, which is only read")
        try:
            is_field = register.bit is not None
            before = self._read_block(blocks({point: register})[0]) if is_field else ()
            self._ask(self._writing(register, register.words(value, before)))
        except RefusalError as error:
            raise ReaderError(
                f"{self._name} refuses {value!r} for {point}: {_reason(error)}"
            ) from None
        self._due_s = self._monotonic()  # the device's answer confirms it, and is not to be late

    def _fields(self) -> dict[str, Value]:
        fields: dict[str, Value] = {}
        for block in list(self._blocks):
            try:
                fields.update(block.values(self._read_block(block)))
            except RefusalError as error:
                self._refuse(block, error)
        return fields

    def _refuse(self, block: Block, error: RefusalError) -> None:
        if len(block.points) > 1 and error.code == ILLEGAL_DATA_ADDRESS:
            place = self._blocks.index(block)
            self._blocks[place : place + 1] = block.apart()
            return
        self._refused[_reason(error)] += 1
        told = (f"{block.table} {block.start}", error.code)
        if told not in self._told:
            self._told.add(told)
            LOG.warning(
                "%s refuses %s (%s): %s; further refusals are only counted",
                self._name,
                told[0],
                ", ".join(block.points),
                _reason(error),
            )

    def _read_block(self, block: Block) -> Sequence[int]:
        request = READS[block.table](
            address=block.start, count=block.count, dev_id=self._config.unit
        )
        answer = self._ask(request)
        words = answer.bits if block.table in BIT_TABLES else answer.registers
        if len(words) < block.count:
            raise ReaderError(f"{self._name} answers {len(words)} of {block.count} registers")
        return words

    def _ask(self, request: ModbusPDU) -> ModbusPDU:
        try:
            answer = self._asked_twice(request)
        except SilenceError as error:
            why = f"{self._name} {error}"
            if self._bus.is_shared:
                self._rests.begin(self._monotonic(), why)
            raise ReaderError(why) from error
        except RefusalError:
            self._rests.end()
            raise
        self._rests.end()
        return answer

    def _asked_twice(self, request: ModbusPDU) -> ModbusPDU:
        """One disturbed frame is no silence."""
        try:
            return self._bus.ask(request, self._config.timeout_s)
        except SilenceError:
            return self._bus.ask(request, self._config.timeout_s)

    def _writing(self, register: RegisterConfig, words: list[int]) -> ModbusPDU:
        address, unit = register.address, self._config.unit
        if register.table in BIT_TABLES:
            return WriteSingleCoilRequest(address=address, bits=[bool(words[0])], dev_id=unit)
        if len(words) == 1:
            return WriteSingleRegisterRequest(address=address, registers=words, dev_id=unit)
        return WriteMultipleRegistersRequest(
            address=address, count=len(words), registers=words, dev_id=unit
        )


class _Rests:
    """How long a silent device is left alone: twice as long each time, by its share of the bus."""

    def __init__(self, cost_s: float) -> None:
        self._shortest_s = cost_s / SILENT_SHARE
        self._silences = 0
        self._until_s = 0.0
        self._why = ""

    def check(self, now_s: float) -> None:
        """Raise ReaderError, the reason being the silence, while it is to be left alone."""
        if now_s < self._until_s:
            raise ReaderError(self._why)

    def begin(self, now_s: float, why: str) -> None:
        """One more silence; the first one costs no rest, since anybody may stumble once."""
        self._why = why
        if self._silences:
            rest_s = min(self._shortest_s * 2 ** (self._silences - 1), LONGEST_REST_S)
            self._until_s = now_s + rest_s
        self._silences = min(self._silences + 1, 16)

    def end(self) -> None:
        """It answered."""
        self._silences = 0


def _reason(error: RefusalError) -> str:
    return REFUSALS.get(error.code, f"exception_{error.code}")
