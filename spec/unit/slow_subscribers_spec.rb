# frozen_string_literal: true

# Subscribers for which messages are held back, and a timer that looks after them.
RSpec.describe EventMachine::WebSocket::Transport::SlowSubscribers, :extension, timeout: 10 do
  # A subscriber that catches up as the block says, and how often it was asked to.
  def subscriber(&catch_up)
    Struct.new(:times, :act) do
      def catch_up = act.call(self.times += 1)
    end.new(0, catch_up)
  end

  def run
    EM.run do
      yield
      EM.add_timer(0.5) { EM.stop }
    end
  end

  it "asks one that another thread adds while it catches up once more" do
    slow = subscriber do |times|
      Thread.new { described_class.add(slow) }.join if times == 1
      true
    end
    run { described_class.add(slow) }

    expect(slow.times).to eq(2)
  end

  it "asks one until it has caught up, and each by itself" do
    slow = subscriber { |times| times == 3 }
    quick = subscriber { true }
    run { [slow, quick].each { |one| described_class.add(one) } }

    expect([slow, quick].map(&:times)).to eq([3, 1])
  end
end
