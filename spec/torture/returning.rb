# frozen_string_literal: true

require "json"

module Torture
  # Messages that the server of `recovery` publishes, to one channel after the other: n of a channel
  # says n, and so stands at the offset n.
  class News
    CHANNELS = 10
    SIZE = 100

    # Number of messages of a channel, at the most.
    LONGEST = 2_000

    def self.text(channel, number) = "#{channel} #{number.to_s.rjust(8, "0")}".ljust(SIZE, "x")

    def self.keep
      EM::WebSocket.channels { history "news:*", size: LONGEST, ttl: 300 }
    end

    # Greeting behind what was missed, and before what follows.
    def self.welcome(ws, query)
      recovered = nil
      position = ws.subscribe("news:#{query["channel"]}", since: query["since"]) do |whether|
        recovered = whether
      end
      ws.send(JSON.generate(position: position, recovered: recovered))
    end

    # @param rate [Integer] how many messages a second, altogether
    def initialize(rate)
      @rate = rate
      @published = 0
    end

    def go
      @since = now
      @timer = EM.add_periodic_timer(0.002) { publish_what_is_due }
    end

    # Goes on to where all channels have had as many; that number.
    def stop
      @timer.cancel
      publish_next until (@published % CHANNELS).zero?
      @published / CHANNELS
    end

    private

    def publish_what_is_due
      publish_next while @published < (now - @since) * @rate
    end

    def publish_next
      number, channel = @published.divmod(CHANNELS)
      EM::WebSocket.publish("news:#{channel}", News.text(channel, number + 1))
      @published += 1
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # Clients that lose their connections and come back with the positions they have come to.
  class Fleet
    # Connects: so many at a time.
    AT_A_TIME = 100

    FRAME = News::SIZE + 2

    # The bytes of all messages of each channel, as the server frames them, one after the other.
    STREAMS = Array.new(News::CHANNELS) do |channel|
      texts = (1..News::LONGEST).map { |number| News.text(channel, number) }
      texts.map { |text| [0x81, News::SIZE].pack("CC") + text }.join.b.freeze
    end

    # Of each client that has come back: how many messages it had missed, and the seconds until it
    # had them, since it began to connect and since it was answered.
    attr_reader :port, :missed, :took, :took_since_answered

    def self.median(numbers) = numbers.sort[numbers.size / 2]

    def initialize(port, count)
      @port = port
      @clients = Array.new(count) { |n| Returning.new(self, n % News::CHANNELS) }
      @missed = []
      @took = []
      @took_since_answered = []
    end

    # Connects all, and calls the block once they are subscribed.
    def connect(&done)
      @waiting = @clients.dup
      @left = @clients.size
      @done = done
      [AT_A_TIME, @left].min.times { @waiting.shift.connect }
    end

    # Everybody's connection is lost, wherever in a message that is.
    def drop = @clients.each(&:drop)

    # Each comes back at some time within so many seconds.
    def come_back(seconds, &done)
      @left = @clients.size
      @done = done
      @clients.each { |client| EM.add_timer(rand * seconds) { client.connect } }
    end

    # A client is subscribed.
    def subscribed
      @waiting.shift&.connect
      @done.call if (@left -= 1).zero?
    end

    # A client that has come back has what it missed.
    def caught_up(missed, took, took_since_answered)
      @missed << missed
      @took << took
      @took_since_answered << took_since_answered
      subscribed
    end

    # Calls the block once everybody has this message, or nothing has come for long.
    def wait_for(last, &done)
      before = nil
      timer = EM.add_periodic_timer(0.1) do
        stalled = before == (before = received) ? (stalled || 0) + 1 : 0
        next unless stalled > 50 || @clients.all? { |client| client.broken? || client.at == last }

        timer.cancel
        done.call
      end
    end

    def recovered = @clients.count(&:recovered?)
    def broken = @clients.count(&:broken?)
    def received = @clients.sum(&:received)
  end

  # One of them. It compares every byte with what must come.
  class Returning
    # Its connection.
    module Socket
      def initialize(client)
        super()
        @client = client
      end

      def receive_data(data) = @client&.receive(data)
      def unbind = @client&.lose

      def drop
        @client = nil
        close_connection
      end
    end

    # Number of messages that it has received.
    attr_reader :received

    def initialize(fleet, channel)
      @fleet = fleet
      @channel = channel
      @place = 0 # in the stream
      @received = 0
    end

    # Number of the last message that it has.
    def at = @place / Fleet::FRAME

    def recovered? = @is_recovered
    def broken? = @is_broken

    def connect
      @since = now
      @in = "".b
      @reading = :head
      @socket = EM.connect("127.0.0.1", @fleet.port, Socket, self)
      since = "&since=#{@epoch}:#{at}" if @epoch
      @socket.send_data(Client.request("/?channel=#{@channel}#{since}"))
    end

    # Drops the connection, and what it has of a message.
    def drop
      @socket.drop
      @place = at * Fleet::FRAME
    end

    # That is not meant to happen.
    def lose
      @is_broken = true
    end

    def receive(data)
      return if @is_broken
      return follow(data) if @reading == :news

      @in << data
      skip_head if @reading == :head
      begin_at_welcome if @reading == :welcome
    end

    private

    def skip_head
      return unless (index = @in.index("\r\n\r\n"))

      @answered = now
      @in = @in.byteslice(index + 4..)
      @reading = :welcome
    end

    # The welcome, with what was missed before it, and what follows behind it.
    def begin_at_welcome
      return unless (last = @in.index("}"))

      first = @in.index("{")
      welcome = JSON.parse(@in.byteslice(first..last))
      before = at
      follow(@in.byteslice(0, first - 2))
      heed(welcome, before)
      @reading = :news
      follow(@in.byteslice(last + 1..))
    end

    def heed(welcome, before)
      epoch, offset = welcome["position"].split(":")
      offset = Integer(offset)
      if @epoch
        @is_recovered = welcome["recovered"] && at == offset && epoch == @epoch
        @fleet.caught_up(offset - before, now - @since, now - @answered)
      else
        @epoch = epoch
        @place = offset * Fleet::FRAME
        @fleet.subscribed
      end
    end

    def follow(bytes)
      before = at
      lose unless bytes == Fleet::STREAMS[@channel].byteslice(@place, bytes.bytesize)
      @place += bytes.bytesize
      @received += at - before
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
