# frozen_string_literal: true

# Many subscribers at once lose their connections and come back. bin/torture recovery does the same
# to 10,000.
RSpec.describe EventMachine::WebSocket, "channels, recovered by many", :extension, timeout: 60 do
  count = 200

  # Publishes 1, 2, 3, ...: 100 a second.
  def publish_numbers
    @channel = "recovered:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}"
    described_class.channels { history "recovered:*", size: 5_000, ttl: 60 }
    @last = 0
    server.call do
      @timer = EM.add_periodic_timer(0.01) do
        described_class.publish(@channel, (@last += 1).to_s)
        note(:published)
      end
    end
  end

  # Returns once so many more messages have been published.
  def wait_for_messages(number)
    events.drain
    number.times { next_event(:published) }
  end

  def stop_publishing = server.call { @timer.cancel.then { @last } }

  # Message that a client hears first, after what it has missed.
  def welcome(ws, since)
    recovered = nil
    position = ws.subscribe(@channel, since: since) { |whether| recovered = whether }
    ws.send("#{recovered.inspect} #{position}")
  end

  # The messages up to the welcome, and the welcome.
  def missed(client)
    texts = []
    texts << client.read_text until texts.last&.include?(" ")
    [texts[...-1].map(&:to_i), *texts.last.split]
  end

  def numbers(client, first, last) = Array.new(last - first + 1) { client.read_text.to_i }

  # Hears some messages, and loses it: the position that it has come to.
  def lose(client)
    _, _, position = missed(client)
    epoch, offset = position.split(":")
    first = offset.to_i + 1
    last = first + rand(10)
    expect(numbers(client, first, last)).to eq([*first..last])
    client.disconnect
    "#{epoch}:#{last}"
  end

  it "sends each of #{count} clients that were gone for 2 s every message once, in order" do
    serve { |ws| ws.onopen { |handshake| welcome(ws, handshake.query["since"]) } }
    publish_numbers
    wait_for_messages(1)
    positions = Array.new(count) { connect }.map { |client| lose(client) }
    wait_for_messages(200)
    back = positions.map { |since| connect(target: "/?since=#{since}") }
    last = stop_publishing

    back.zip(positions) do |client, since|
      before, recovered, position = missed(client)
      caught_up = position.split(":").last.to_i
      expect(recovered).to eq("true")
      expect(before).to eq([*(since.split(":").last.to_i + 1)..caught_up])
      expect(numbers(client, caught_up + 1, last)).to eq([*(caught_up + 1)..last])
    end
  end
end
