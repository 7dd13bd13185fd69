# frozen_string_literal: true

require_relative "client"

module Torture
  # A client in a reactor that is let in and stays. It answers a close, and says when one came.
  module Resident
    # Those of one process, connected so many at a time.
    class Crowd
      AT_A_TIME = 200

      attr_reader :closes, :let_in, :pongs

      # @param count [Integer]
      # @param from [String] the address that they come from
      def initialize(port, count, from = "127.0.0.1")
        @port = port
        @from = from
        @left = count
        @closes = []
        @let_in = @pongs = 0
        @clients = []
      end

      # Connects all, and calls the block once each is let in, or lost.
      def connect(&done)
        @done = done
        @waiting = @left
        [AT_A_TIME, @left].min.times { connect_next }
      end

      def ping = @clients.each { |client| client.send_data(Client.frame(Client::PING, "")) }
      def pong = @pongs += 1
      def closed = @closes << now

      # A client is let in, or lost before.
      def settled(client)
        @let_in += 1 if client
        @clients << client if client
        connect_next if @left.positive?
        @done.call if (@waiting -= 1).zero?
      end

      private

      def connect_next
        @left -= 1
        EM.bind_connect(@from, 0, "127.0.0.1", @port, Resident, self)
      end

      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def initialize(crowd)
      super()
      @crowd = crowd
      @in = "".b
    end

    def post_init = send_data(Client.request)

    def receive_data(data)
      @in << data
      return unless @is_in || let_in

      case @in.slice!(0, @in.bytesize)
      when /\A\x8A/n then @crowd.pong
      when /\A\x88/n
        @crowd.closed
        send_data(Client.frame(Client::CLOSE, [1012].pack("n")))
      end
    end

    def unbind
      @crowd.settled(nil) unless @is_in
    end

    private

    def let_in
      return unless @in.end_with?("\r\n\r\n")

      @is_in = @in.start_with?("HTTP/1.1 101")
      @in.clear
      @is_in ? @crowd.settled(self) : close_connection
      false
    end
  end
end
