# frozen_string_literal: true

require "zlib"

# The memory that clients can make a server hold: as much as it says, whatever they send. The core's
# own tests go into the corners.
RSpec.describe EventMachine::WebSocket, "and what it holds", :ours do
  mib = 1024 * 1024
  limits = { inbound_limit: mib, inbound_total: 4 * mib }
  rsv1 = 0x40
  offer = { "Sec-WebSocket-Extensions" => "permessage-deflate; client_no_context_takeover" }

  def resident = File.read("/proc/self/status")[/^VmRSS:\s+(\d+)/, 1].to_i * 1024

  def deflated(bytes)
    Zlib::Deflate.new(9, -15).deflate(bytes, Zlib::SYNC_FLUSH).then { |out| out.byteslice(0...-4) }
  end

  # The most that waited, and the most memory beyond what there was, for so long.
  def at_most(seconds: 1.5)
    GC.start
    before = resident
    yield
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    seen = []
    while Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline
      seen << [described_class.stats[:bytes_waiting], resident - before]
      sleep 0.01
    end
    seen.transpose.map(&:max)
  end

  # Waits until it is true.
  def eventually
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 8
    until yield
      raise "it never is" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      sleep 0.01
    end
  end

  # Blocks the reactor until the block is done.
  def while_asleep
    gate = Queue.new
    EM.next_tick { gate.pop }
    yield
  ensure
    gate << true
  end

  it "holds one message beyond :inbound_total of clients that finish none" do
    serve(compression: true, **limits) { |ws| ws.onmessage { |_| nil } }
    clients = Array.new(10) { dial.tap { |client| client.open(headers: offer) } }
    frame = clients.first.encode(:text, deflated("a" * 20 * mib), last: false, reserved: rsv1)
    waiting, memory = at_most { clients.each { |client| client.write(frame) } }

    expect(waiting).to be_between(15 * mib, 27 * mib)
    expect(memory).to be < 40 * mib
    bystander = connect
    bystander.text("small")
    bystander.text("x" * 100_000)
    eventually { described_class.stats[:messages_received] == 2 }
  end

  it "lets one message past :inbound_limit, whatever a read inflates to" do
    serve(compression: true, **limits)
    client = dial
    client.open(headers: offer)
    frame = client.encode(:text, deflated("b" * 10 * mib), reserved: rsv1)
    waiting, = while_asleep { at_most { client.write(frame * 8) } }

    expect(waiting).to be_between(10 * mib, 12 * mib)
    next_event(:open)
    8.times { next_event(:message) }
  end

  it "counts a small message for the read that it keeps, or does not keep it" do
    serve(**limits)
    client = connect
    parts = [client.encode(:text, "", last: false)] +
            ([client.encode(:continuation, "", last: false)] * 9_000) +
            [client.encode(:continuation, ""), client.encode(:text, "t" * 256)]
    reads = parts.join * 1000
    writer = nil
    waiting, memory = while_asleep do
      at_most { writer = Thread.new { client.write(reads) } }
    end
    writer.join

    expect(waiting).to be <= 5 * mib
    expect(memory).to be < 32 * mib
  end

  it "counts messages of no bytes for what they take" do
    serve(inbound_total: mib) { |ws| ws.onmessage { |_| nil } }
    clients = Array.new(50) { connect }
    burst = clients.first.encode(:text, "") * 20_000
    writers = []
    waiting, memory = while_asleep do
      at_most { writers = clients.map { |client| Thread.new { client.write(burst) } } }
    end

    expect(waiting).to be_between(mib, 2 * mib)
    expect(memory).to be < 16 * mib
    writers.each(&:join)
    eventually { described_class.stats.values_at(:messages_waiting, :bytes_waiting) == [0, 0] }
  end

  it "counts a broadcast once, and for each client whom it waits for" do
    serve
    clients = Array.new(5) { connect }
    all = Array.new(5) { open_connection }
    sockets = clients.map(&:socket)
    waiting, each = server.call do
      10.times { described_class.broadcast(all, "b" * 4 * mib) }
      [described_class.stats[:bytes_outbound], all.map(&:buffered_amount)]
    end

    expect(each).to all(be_between(25 * mib, (40 * mib) + 1000))
    expect(waiting).to be_between(25 * mib, (40 * mib) + 5000)
    sockets.each(&:close)
    eventually { described_class.stats[:bytes_outbound].zero? }
  end
end
