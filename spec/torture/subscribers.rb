# frozen_string_literal: true

require "socket"

module Torture
  # Messages that the server of `subscribers` publishes: numbered, with the time of each.
  class Ticker
    CHANNEL = "ticker"
    SIZE = 4096
    HEAD = 32
    FILL = Random.new(6455).bytes((SIZE - HEAD) / 2).unpack1("H*").freeze
    FRAME = SIZE + 4
    READY = "\x81\x05ready".b.freeze

    def self.text(number, time) = "#{number.to_s.rjust(8)} #{time.to_s.ljust(HEAD - 9)}" + FILL
    def self.keep = EM::WebSocket.channels { slow CHANNEL, keep: :last }

    # Subscribed from the first on; "again" is for those who leave and come while it is published.
    def self.accept(ws)
      ws.onopen do
        ws.subscribe(CHANNEL)
        ws.send("ready")
      end
      ws.onmessage do
        ws.unsubscribe(CHANNEL)
        ws.subscribe(CHANNEL)
      end
    end

    # @param rate [Integer] how many a second
    def initialize(rate)
      @rate = rate
      @number = 0
    end

    # Publishes so many; another thread does every second one.
    def go(count)
      @left = count
      @timer = EM.add_periodic_timer(1.0 / @rate) { tick }
    end

    # Number of the last, once it is published; nil before.
    def last = @left.zero? ? @number : nil

    private

    def tick
      text = Ticker.text(@number += 1, Process.clock_gettime(Process::CLOCK_MONOTONIC))
      publish = -> { EM::WebSocket.publish(CHANNEL, text) }
      @number.even? ? Thread.new(&publish).join : publish.call
      @timer.cancel if (@left -= 1).zero?
    end
  end

  # One of its subscribers.
  module Subscriber
    # So little it takes while it is stalled, in segments so small that the kernel keeps little of
    # what it is sent.
    WINDOW = 16 * 1024
    SEGMENT = 536

    attr_reader :number, :received, :skipped

    # @param crowd [Audience]
    # @param kind [:live, :stalled, :churning]
    def initialize(crowd, kind)
      super()
      @crowd = crowd
      @kind = kind
      @in = "".b
      @number = @received = @skipped = 0
    end

    # @return [Socket] of one that will stall
    def self.small_socket(port)
      Socket.new(:INET, :STREAM).tap do |socket|
        socket.setsockopt(:SOCKET, :RCVBUF, WINDOW)
        socket.setsockopt(:TCP, :MAXSEG, SEGMENT)
        socket.connect(Socket.sockaddr_in(port, "127.0.0.1"))
      end
    end

    def post_init = send_data(Client.request)

    def receive_data(data)
      @in << data
      return take unless @is_ready.nil?
      return unless (index = @in.index(Ticker::READY))

      @is_ready = true
      @in = @in.byteslice(index + Ticker::READY.bytesize..)
      @crowd.ready(self)
      take
    end

    # It leaves and comes again, or its connection is reset.
    def churn
      return if error?

      if rand < 0.5
        send_data(Client.frame(Client::TEXT, "again"))
      else
        set_sock_opt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
        close_connection
      end
    end

    def unbind = @crowd.lost(@kind)

    private

    def take
      while @in.bytesize >= Ticker::FRAME
        note(@in.byteslice(4, Ticker::SIZE))
        @in = @in.byteslice(Ticker::FRAME..)
      end
    end

    def note(text)
      number = Integer(text.byteslice(0, 8).lstrip)
      @crowd.broken unless text.end_with?(Ticker::FILL) && number > @number
      @skipped += number - @number - 1 if @received.positive?
      @received += 1
      @number = number
      @crowd.late(now - Float(text.byteslice(9, 20).strip)) if @kind == :live
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # All of them.
  class Audience
    AT_A_TIME = 100

    attr_reader :live, :stalled, :lateness, :failures, :churned

    def initialize(port)
      @port = port
      @live = []
      @stalled = []
      @lateness = []
      @failures = @churned = 0
    end

    # Connects so many of a kind, and calls the block once they are subscribed.
    def connect(kind, count, &done)
      @kind = kind
      @waiting = @left = count
      @done = done
      [AT_A_TIME, count].min.times { connect_next }
    end

    def ready(subscriber)
      return if @churning&.delete(subscriber)

      (@kind == :live ? @live : @stalled) << subscriber
      connect_next
      @done.call if (@left -= 1).zero?
    end

    # From now on so many come, leave and vanish without an end.
    def churn(count)
      @churning = {}.compare_by_identity
      ones = Array.new(count) { churner }
      @churn = EM.add_periodic_timer(0.05) do
        ones.map! { |one| one.error? ? churner : one.tap(&:churn) }
      end
    end

    def end_churn = @churn.cancel
    def broken = @failures += 1
    def late(seconds) = @lateness << seconds

    def lost(kind)
      broken unless @is_ending || kind == :churning
    end

    def finish
      @is_ending = true
      EM.stop
    end

    # The 99th of a hundred messages' lateness, in milliseconds, since this was asked last.
    def p99
      sorted = @lateness.sort
      @lateness = []
      sorted[sorted.size * 99 / 100].to_f * 1000
    end

    private

    def connect_next
      return if @waiting.zero?

      @waiting -= 1
      return EM.attach(Subscriber.small_socket(@port), Subscriber, self, @kind) if @kind == :stalled

      EM.connect("127.0.0.1", @port, Subscriber, self, @kind)
    end

    def churner
      @churned += 1
      one = EM.connect("127.0.0.1", @port, Subscriber, self, :churning)
      @churning[one] = true
      one
    end
  end
end
