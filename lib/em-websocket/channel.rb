# frozen_string_literal: true

require "eventmachine"
require_relative "channels"
require_relative "mail"

module EventMachine
  module WebSocket
    # A channel with EM::Channel's interface: its blocks are given what is {WebSocket.publish
    # published}, and what is pushed goes to all connections that are {Subscriptions#subscribe
    # subscribed}, too. All objects of one name are one channel.
    #
    # Its methods may be called from any thread; blocks run on the reactor's.
    class Channel
      # @return [String] frozen
      attr_reader :name

      # @param name [String] 1 to 255 bytes of UTF-8
      # @raise [ArgumentError] if that can be no name
      def initialize(name)
        Native.subscribers(name)
        @name = name.dup.freeze
      end

      # Subscribes a block, or whatever EM::Callback takes.
      #
      # @example
      #   channel = EM::WebSocket::Channel.new("log")
      #   id = channel.subscribe { |message| puts message }
      # @yieldparam message [String] UTF-8, or ASCII-8BIT where it is binary; what a block leaves
      #   undone by an exception is done for the other messages and subscribers nevertheless
      # @return [Integer] what {#unsubscribe} takes
      # @raise [SubscriptionLimitError] past the limit of all subscriptions
      def subscribe(...)
        BlockSubscriber.new(@name, EventMachine::Callback(...)).id
      end

      # Ends a subscription of {#subscribe}: its block is not called any more.
      #
      # @param id [Integer]
      # @return [nil]
      def unsubscribe(id)
        subscriber = Mail.receiver(id)
        subscriber.close if subscriber.is_a?(BlockSubscriber) && subscriber.name == @name
        nil
      end

      # Publishes messages.
      #
      # @param messages [Array<String>]
      # @param binary [Boolean]
      # @return [Publication, nil] of the last one; nil where there was none
      # @raise (see WebSocket.publish)
      def push(*messages, binary: false)
        messages.map { |message| Publishing.publish(@name, message, binary, nil) }.last
      end

      # Publishes one message. May be called from any thread.
      #
      # @param message [String]
      # @return [Publication]
      # @raise (see WebSocket.publish)
      def <<(message)
        Publishing.publish(@name, message, false, nil)
      end

      # Calls a block with one message, the next.
      #
      # @yieldparam message [String]
      # @return [Integer] what {#unsubscribe} takes
      def pop(...)
        BlockSubscriber.new(@name, EventMachine::Callback(...), true).id
      end

      # @return [Integer] how many are subscribed in this process, connections and blocks
      def num_subscribers
        Native.subscribers(@name)
      end
    end

    # A block that is subscribed to a channel.
    #
    # @api private
    class BlockSubscriber
      # @return [String]
      attr_reader :name

      # @param name [String]
      # @param callback [#call]
      # @param once [Boolean] for one message only
      def initialize(name, callback, once = false)
        @name = name
        @callback = callback
        @once = once
        @mailbox = Native::Mailbox.of_application
        Mail.add(@mailbox, self)
        @mailbox.subscribe(name, nil, Checks::MOST)
      rescue StandardError
        close
        raise
      end

      # @return [Integer]
      def id
        @mailbox.number
      end

      # Its block is not called any more.
      def close
        Mail.remove(@mailbox)
      end

      # Empties its mailbox, on the reactor's thread.
      def deliver
        while (message = @mailbox.take)
          close if @once
          call(message)
        end
      end

      private

      # An exception leaves; what has come behind it is not lost.
      def call(message)
        is_done = false
        @callback.call(message)
        is_done = true
      ensure
        EventMachine.next_tick { deliver } unless is_done
      end
    end
  end
end
